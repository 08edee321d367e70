//go:build linux

package netlab

import (
	"os"
	"time"
)

// Carry is a wire between files that give a packet with each read.
func Carry(a, b *os.File, c Conditions) *Wire {
	w := &Wire{ends: [2]*os.File{a, b}}
	w.carry(c)
	return w
}

// Path is what a wire does to packets in one direction.
type Path struct{ *path }

func NewPath(c Conditions) Path { return Path{newPath(c, 0)} }

func (p Path) Arrivals(now time.Time, size int) []time.Time { return p.arrivals(now, size) }
