package entry

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/sockerr"
)

// How long Serve waits after an error, from the first to the tenth in a row, as
// net/http does it.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// Acceptor accepts the connections of listeners through everything that passes: a
// listener that gave up when descriptors or memory run out would have to be started
// again by hand. Its methods may be called concurrently.
type Acceptor struct {
	Admission *admission.Controller
	Log       *slog.Logger
	// Watch is [join.Engine.Watch]. Nil, or a listener that it cannot watch, is a
	// goroutine that waits in Accept.
	Watch func(l conn.TryListener, ready func() (again bool), ended func(error)) (resume func())
}

// Handle takes over a connection, and does not wait for the peer. If something else has to
// be waited for before the next connection is accepted, it returns a function that does.
type Handle func(conn.Conn) (wait func())

// Shortage is what happens at a listener while there are no descriptors: of the reserve
// Lend frees one, and Handle takes over the connection that is accepted with it. So nobody
// hangs in the kernel's queue without an answer.
type Shortage struct {
	Lend   func() bool
	Handle func(conn.Conn)
}

// Serve has handle take over every connection of l, until l is closed, whose error it
// returns, or ctx is done.
func (a *Acceptor) Serve(ctx context.Context, l conn.Listener, handle Handle, short Shortage) error {
	if try, ok := l.(conn.TryListener); ok && a.Watch != nil {
		w := &watched{Acceptor: a, listener: try, handle: handle, steps: make(chan step, 2)}
		resume := make(chan func())
		go func() { resume <- a.Watch(try, w.ready, w.end) }() // or the stack here would grow for it, see retry
		if resume := <-resume; resume != nil {
			return w.serve(ctx, short, resume)
		}
	}
	for pause := time.Duration(0); ; {
		c, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			if wait := a.handOver(c, handle); wait != nil {
				wait()
			}
		case errors.Is(err, net.ErrClosed) || ctx.Err() != nil:
			return err
		default:
			if pause, err = a.retry(ctx, l.Accept, l.Addr(), short, pause, err); err != nil {
				return err
			}
		}
	}
}

// accept is Accept of a listener, or TryAccept.
type accept func() (conn.Conn, error)

// retry does what can be done about an error of Accept, waits, and returns for how long
// it has waited. Its error is that of ctx. It is not inlined: a goroutine of each public
// port stands in Serve, and its stack would be twice as large.
//
//go:noinline
func (a *Acceptor) retry(ctx context.Context, accept accept, at net.Addr, short Shortage, pause time.Duration, err error) (time.Duration, error) {
	if pause == 0 {
		a.Log.Error("cannot accept connections; trying on", "address", at, "error", err)
	}
	if sockerr.Is(err, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM) { // which others may give back
		a.Admission.Counters.Add(admission.Shortages)
		if a.acceptShort(accept, short) {
			return minAcceptPause, nil // for the log: it is the same shortage
		}
	}
	pause = min(max(2*pause, minAcceptPause), maxAcceptPause)
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return pause, nil
	case <-ctx.Done():
		return pause, ctx.Err()
	}
}

// acceptShort accepts one connection with the help of the reserve. There is one: without
// descriptors Accept fails only then.
func (a *Acceptor) acceptShort(accept accept, short Shortage) bool {
	if !short.Lend() {
		return false
	}
	defer a.Admission.Reserve.Fill()
	c, err := accept()
	if err == nil {
		short.Handle(c)
	}
	return err == nil
}

// handOver hands a connection on, unless it has got the reserve's last descriptor, which
// was lent to another listener for a moment.
func (a *Acceptor) handOver(c conn.Conn, handle Handle) (wait func()) {
	a.Admission.Reserve.Fill()
	if !a.Admission.Reserve.Empty() {
		return handle(c)
	}
	a.Admission.Counters.Add(admission.Shortages)
	_ = c.Reset()
	a.Admission.Reserve.Fill()
	return nil
}
