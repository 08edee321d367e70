//go:build !linux

package upgrade

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// ErrSystem is why there is no upgrade elsewhere than on Linux.
var ErrSystem = errors.New("relay upgrade needs Linux: here, stop the process and start the new one")

// Link is a connection to the process before this one, or after it. There is none here.
type Link struct{}

// Command is what to start.
type Command struct {
	Path           string
	Args, Env      []string
	Stdout, Stderr *os.File
}

// Heir is a process that is to take over from this one. There is none here.
type Heir struct{ *Link }

// Start returns ErrSystem.
func Start(Command) (*Heir, error) { return nil, ErrSystem }

// Inherited returns nil.
func Inherited() (*Link, error) { return nil, nil }

// Adopt returns ErrSystem.
func Adopt(int) (*Link, error) { return nil, ErrSystem }

// Share returns ErrSystem.
func (*Link) Share() (int, error) { return -1, ErrSystem }

// Send returns ErrSystem.
func (*Link) Send(Message, int) error { return ErrSystem }

// Receive returns ErrSystem.
func (*Link) Receive() (Message, int, error) { return Message{}, -1, ErrSystem }

// SetReceiveDeadline returns ErrSystem.
func (*Link) SetReceiveDeadline(time.Time) error { return ErrSystem }

// Close returns ErrSystem.
func (*Link) Close() error { return ErrSystem }

// PID returns 0.
func (*Heir) PID() int { return 0 }

// Ended returns nil.
func (*Heir) Ended() <-chan struct{} { return nil }

// Kill does nothing.
func (*Heir) Kill() {}

// Why returns ErrSystem.
func (*Heir) Why() error { return ErrSystem }

// CloseFD does nothing.
func CloseFD(int) {}

// Share returns ErrSystem.
func Share(syscall.Conn) (int, error) { return -1, ErrSystem }
