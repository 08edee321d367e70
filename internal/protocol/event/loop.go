package event

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"syscall"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// claimer claims the ids that arrive on a control connection, on an event loop. A claim
// takes a goroutine only if it has to wait.
type claimer struct {
	*registration
	accepted protocol.Acceptor
	loop     protocol.Loop
	dials    chan struct{} // holds one for each claim that waits
	waiting  sync.WaitGroup

	// Used by the loop's goroutine only.
	input   [1024]byte
	unread  []byte // of input
	full    bool   // as many claims wait as may
	posted  bool   // another turn of readable is to come
	stopped bool
}

// claimBatch is how many ids are claimed before the loop's other sockets have their turn.
// A claim takes about ten system calls.
const claimBatch = 16

// ServeLoop is Serve, with the ids read and claimed on the loop.
func (r *registration) ServeLoop(accepted protocol.Acceptor, loop protocol.Loop) error {
	c := &claimer{registration: r, accepted: accepted, loop: loop, dials: make(chan struct{}, maxDials)}
	stop := loop.Watch(r.control, c.readable)
	if stop == nil {
		return r.Serve(accepted)
	}
	c.waiting.Go(r.sendKeepalives)
	<-r.ctx.Done()
	stop()
	stopped := make(chan struct{})
	loop.Post(func() {
		c.stopped = true
		close(stopped)
	})
	<-stopped
	c.waiting.Wait()
	return context.Cause(r.ctx)
}

// readable is called when something has come on the control connection.
func (c *claimer) readable() {
	if c.posted {
		return
	}
	more := false
	defer func() {
		if more {
			c.post()
		}
	}()
	for range claimBatch {
		more = false
		if c.full || c.stopped || c.ctx.Err() != nil {
			return
		}
		id, err := c.next()
		switch {
		case errors.Is(err, syscall.EAGAIN):
			return
		case err != nil:
			c.loseControl(err)
			return
		}
		more = true // after the last of the batch, and after a panic
		c.claimAtOnce(id)
	}
}

// post has the loop call readable again, after its other sockets.
func (c *claimer) post() {
	c.posted = true
	c.loop.Post(func() {
		c.posted = false
		c.readable()
	})
}

// next returns the next id, or EAGAIN if none has come.
func (c *claimer) next() (string, error) {
	for {
		lines := bytes.NewReader(c.unread)
		id, err := wire.ReadID(lines)
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			c.unread = c.unread[len(c.unread)-lines.Len():]
			return id, err
		}
		begun := copy(c.input[:], c.unread) // less than the longest id
		n, readErr := conn.TryRead(c.control, c.input[begun:])
		c.unread = c.input[:begun+n]
		switch {
		case n > 0:
		case errors.Is(readErr, io.EOF):
			return "", err
		default:
			return "", readErr
		}
	}
}

// claimAtOnce is claim, with what takes waiting done on a goroutine.
func (c *claimer) claimAtOnce(id string) {
	conn, wait := protocol.TrySend(c.loop, c.request(id))
	if conn == nil {
		c.start(func() { c.handOver(wait, c.accepted) })
		return
	}
	user := protocol.NewFirstRead(conn, c.learn)
	panicked := true
	defer func() {
		if panicked {
			_ = user.Reset() // which nobody would read
		}
	}()
	accepted := c.loop.TryAccept(c.ctx, user)
	panicked = false
	if !accepted {
		c.start(func() { c.accepted(c.ctx, user) })
	}
}

// start runs f, which may wait. If too many do so already no further id is claimed until
// one of them has ended.
func (c *claimer) start(f func()) {
	select {
	case c.dials <- struct{}{}:
		c.waiting.Go(func() {
			defer func() { <-c.dials }()
			f()
		})
		return
	default:
	}
	c.full = true
	c.waiting.Go(func() {
		select {
		case c.dials <- struct{}{}:
			defer func() { <-c.dials }()
		case <-c.ctx.Done(): // which ends f soon
		}
		c.loop.Post(func() {
			c.full = false
			c.readable()
		})
		f()
	})
}
