//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	wireBits  = 100_000_000 // a second, each way
	wireDelay = 50 * time.Millisecond
	// wireQueue is about what is under way on a full wire, there and back; a
	// router with such a queue is an ordinary one.
	wireQueue = wireBits / 8 / 10
	// wirePackets bounds what is queued and under way together.
	wirePackets = 1 << 15
	wireMTU     = 1500
	// wireLate is when a packet is late, as this is a program among others and
	// not a wire. What was measured over a wire with many of them is of no use.
	wireLate = 5 * time.Millisecond
)

// pacer says when packets arrive that go through a wire one after the other.
type pacer struct {
	bits  float64 // a second
	delay time.Duration
	queue int       // bytes
	free  time.Time // when the last packet so far has gone in
}

// arrival of a packet that comes at now, or false if the queue is full.
func (p *pacer) arrival(now time.Time, size int) (time.Time, bool) {
	if p.free.Before(now) {
		p.free = now
	}
	if p.free.Sub(now) > p.takes(p.queue) {
		return time.Time{}, false
	}
	p.free = p.free.Add(p.takes(size))
	return p.free.Add(p.delay), true
}

func (p *pacer) takes(size int) time.Duration {
	return time.Duration(float64(size) * 8 / p.bits * float64(time.Second))
}

type packet struct {
	bytes   []byte
	arrives time.Time
}

// wire carries packets between two devices, both ways, until it is closed.
type wire struct {
	ends    [2]*os.File
	running sync.WaitGroup
	// carried and late are packets.
	carried, late atomic.Int64
}

func newWire(a, b *os.File) *wire {
	w := &wire{ends: [2]*os.File{a, b}}
	for i, from := range w.ends {
		under := make(chan packet, wirePackets)
		w.running.Go(func() { takeIn(from, under) })
		w.running.Go(func() { w.giveOut(w.ends[1-i], under) })
	}
	return w
}

func (w *wire) close() error {
	err := errors.Join(w.ends[0].Close(), w.ends[1].Close())
	w.running.Wait()
	if err != nil {
		return fmt.Errorf("closing the wire: %w", err)
	}
	return nil
}

// takeIn drops what the wire has no place for, as a router does.
func takeIn(from io.Reader, under chan<- packet) {
	defer close(under)
	p := pacer{bits: wireBits, delay: wireDelay, queue: wireQueue}
	for {
		buf := make([]byte, wireMTU)
		n, err := from.Read(buf)
		if err != nil {
			return // closed
		}
		arrives, ok := p.arrival(time.Now(), n)
		if !ok {
			continue
		}
		select {
		case under <- packet{buf[:n], arrives}:
		default:
		}
	}
}

// latePercent is how many of the packets so far were late.
func (w *wire) latePercent() float64 {
	return 100 * float64(w.late.Load()) / float64(max(w.carried.Load(), 1))
}

func (w *wire) giveOut(to io.Writer, under <-chan packet) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for p := range under {
		if wait := time.Until(p.arrives); wait > 0 {
			timer.Reset(wait)
			<-timer.C
		}
		w.carried.Add(1)
		if time.Since(p.arrives) > wireLate {
			w.late.Add(1)
		}
		_, _ = to.Write(p.bytes) // lost, as on any wire
	}
}
