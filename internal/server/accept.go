package server

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/sockerr"
)

// How long to wait after an error of accept, from the first to the tenth in a
// row, as net/http does it.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// shortage is what happens at a listener while there are no descriptors.
type shortage struct {
	lend func() bool // of the reserve, for one connection
	take func(conn.Conn)
}

// acceptAll hands on every connection of l until l is closed, whose error it
// returns, or ctx is done. Any other error passes: they come when descriptors
// or memory run out, and a listener that gave up would have to be started
// again by hand.
func (s *Server) acceptAll(ctx context.Context, l Listener, handle func(conn.Conn), short shortage) error {
	pause := time.Duration(0)
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			s.takeOver(conn, handle)
			continue
		case errors.Is(err, net.ErrClosed) || ctx.Err() != nil:
			return err
		case pause == 0:
			s.log.Error("cannot accept connections; trying on", "address", l.Addr(), "error", err)
		}
		if isShortage(err) {
			s.admission.Counters.Add(admission.Shortages)
			if s.acceptShort(l, short) {
				pause = minAcceptPause // for the log: it is the same shortage
				continue
			}
		}
		pause = min(max(2*pause, minAcceptPause), maxAcceptPause)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// isShortage tells whether accepting failed for want of something that others
// may give back. It is not inlined: a goroutine of each public port stands in
// acceptAll, and its stack would be twice as large.
//
//go:noinline
func isShortage(err error) bool {
	return sockerr.Is(err, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM)
}

// acceptShort takes one connection with the help of the reserve, so that nobody
// hangs in the queue without an answer. There is one: without descriptors Accept
// fails only then.
func (s *Server) acceptShort(l Listener, short shortage) bool {
	if !short.lend() {
		return false
	}
	defer s.admission.Reserve.Fill()
	conn, err := l.Accept()
	if err == nil {
		short.take(conn)
	}
	return err == nil
}

// takeOver hands a connection on, unless it has got the reserve's last descriptor,
// which was lent to another listener for a moment.
func (s *Server) takeOver(conn conn.Conn, handle func(conn.Conn)) {
	s.admission.Reserve.Fill()
	if !s.admission.Reserve.Empty() {
		handle(conn)
		return
	}
	s.admission.Counters.Add(admission.Shortages)
	_ = conn.Reset()
	s.admission.Reserve.Fill()
}
