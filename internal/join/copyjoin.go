package join

import (
	"context"
	"sync"

	"github.com/seed96252745/relay/internal/conn"

	"github.com/seed96252745/relay/internal/crash"
)

// copying is a join of any two connections, with two goroutines.
type copying struct {
	joined
	ends [2]conn.Conn
	ways [2]*direction // by their source
}

func newCopying(a, b conn.Conn, p periods) *copying {
	c := &copying{ends: [2]conn.Conn{a, b}}
	c.lookout = newLookout(a, b, p, func(side Side) {
		c.joined.end(side, ErrDead)
		_ = closeConn(c.ends[side], ErrDead) // which wakes both directions
	})
	ab := &direction{j: &c.joined, src: a, dst: b, side: A}
	ba := &direction{j: &c.joined, src: b, dst: a, side: B}
	ab.opposite, ba.opposite = ba, ab
	c.ways = [2]*direction{ab, ba}
	return c
}

// run copies, and returns when the join has ended.
func (c *copying) run(ctx context.Context) Result {
	defer context.AfterFunc(ctx, func() { c.end(stopped{context.Cause(ctx)}) })()
	c.lookout.wrote() // its owners may have, before

	var back sync.WaitGroup
	back.Go(c.ways[B].run)
	c.ways[A].run()
	back.Wait()
	if _, err := c.result(); err == nil {
		if side, err := c.lookout.settle(ctx); err != nil {
			c.joined.end(side, err)
		}
	}
	c.lookout.end()
	first, err := c.result()
	for _, conn := range c.ends {
		if err != nil {
			_ = caught(func() { abort(conn) }) // and if that fails, what follows
		}
		err = closeConn(conn, err)
	}
	return Result{AToB: c.ways[A].written.Load(), BToA: c.ways[B].written.Load(), First: first, Err: err}
}

// end ends the join at once.
func (c *copying) end(err error) {
	c.joined.end(A, err)
	for _, conn := range c.ends {
		_ = closeConn(conn, err)
	}
}

func (c *copying) progress() (p progress) {
	for side, conn := range c.ends {
		to := c.ways[1-side]
		p.written += to.written.Load()
		p.ended[side] = to.finished.Load()
		p.unacked += unacknowledgedOf(conn)
		p.queued = p.queued || to.writing.Load()
		if s, ok := conn.(Slowed); ok && s.Waiting() {
			p.paused = true
		}
	}
	p.queued = p.queued || p.unacked > 0
	return p
}

// joined is what the two directions of a join share.
type joined struct {
	lookout *lookout

	mu      sync.Mutex // guards what follows
	verdict verdict
}

func (j *joined) end(side Side, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.verdict.end(side, err)
}

func (j *joined) crashed(c *crash.Error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.verdict.crash(c)
}

func (j *joined) result() (first Side, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.verdict.first, j.verdict.err
}
