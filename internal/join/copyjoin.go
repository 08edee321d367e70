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

func newCopying(a, b conn.Conn, o Options, p periods) *copying {
	c := &copying{ends: [2]conn.Conn{a, b}}
	c.throttle = newThrottle(o.Limiter)
	c.detector = newDeadPeerDetector(a, b, p, func(side Side) {
		c.record(side, ErrDead)
		_ = closeConn(c.ends[side], ErrDead) // which wakes both directions
		c.throttle.release()
	})
	ab := &direction{j: &c.joined, src: a, dst: b, side: A}
	ba := &direction{j: &c.joined, src: b, dst: a, side: B}
	ab.feed.due, ba.feed.due = settleAfter, settleAfter
	ab.opposite, ba.opposite = ba, ab
	c.ways = [2]*direction{ab, ba}
	ab.written.Store(o.Prefix)
	return c
}

// run copies, and returns when the join has ended.
func (c *copying) run(ctx context.Context) Result {
	defer context.AfterFunc(ctx, func() { c.Stop(context.Cause(ctx)) })()
	defer c.throttle.release()
	for side, end := range c.ends {
		if f, ok := conn.As[conn.Failer](end); ok {
			f.OnFail(func(err error) { c.fail(Side(side), err) })
		}
	}
	c.detector.arm() // for what the owners have written before

	var back sync.WaitGroup
	back.Go(c.ways[B].run)
	c.ways[A].run()
	back.Wait()
	if _, err := c.result(); err == nil {
		if side, err := c.detector.awaitDelivery(ctx); err != nil {
			c.record(side, err)
		}
	}
	c.detector.stop()
	first, err := c.result()
	for _, conn := range c.ends {
		if err != nil {
			_ = caught(func() { abort(conn) }) // and if that fails, what follows
		}
		err = closeConn(conn, err)
	}
	aToB, bToA := c.Moved()
	return Result{AToB: aToB, BToA: bToA, First: first, Err: err}
}

// Moved returns how many bytes have been written to each side.
func (c *copying) Moved() (aToB, bToA int64) {
	return c.ways[A].written.Load(), c.ways[B].written.Load()
}

// fail ends the join at once, as one of the connections has failed.
func (c *copying) fail(side Side, err error) {
	c.record(side, err)
	for _, conn := range c.ends {
		_ = closeConn(conn, err)
	}
	c.throttle.release()
}

// Stop ends the join at once.
func (c *copying) Stop(reason error) {
	err := stopped{reason}
	c.record(A, err)
	for _, conn := range c.ends {
		_ = closeConn(conn, err)
	}
	c.throttle.release()
}

func (c *copying) progress() (p progress) {
	for side, conn := range c.ends {
		to := c.ways[1-side]
		p.written += to.written.Load()
		p.ended[side] = to.endSent.Load()
		p.unacked += unacknowledgedOf(conn)
		p.queued = p.queued || to.writing.Load()
	}
	p.paused = c.throttle.isWaiting()
	p.queued = p.queued || p.unacked > 0
	return p
}

// joined is what the two directions of a join share.
type joined struct {
	detector *deadPeerDetector
	throttle *throttle // or nil
	crowd    *crowd    // or nil

	mu      sync.Mutex // guards what follows
	verdict verdict
}

func (j *joined) record(side Side, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.verdict.record(side, err)
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
