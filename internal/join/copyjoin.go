package join

import (
	"context"
	"sync"

	"github.com/seed96252745/relay/internal/crash"
)

// copyJoin joins any two connections, with two goroutines, and returns when the
// join has ended.
func copyJoin(ctx context.Context, a, b Conn, p periods) Result {
	j := &joined{}
	j.lookout = newLookout(a, b, p, func(side Side) {
		j.end(side, ErrDead)
		_ = closeConn([]Conn{a, b}[side], ErrDead) // which wakes both directions
	})
	defer context.AfterFunc(ctx, func() {
		err := error(stopped{context.Cause(ctx)})
		j.end(A, err)
		_ = closeConn(a, err)
		_ = closeConn(b, err)
	})()
	ab := &direction{j: j, src: a, dst: b, side: A}
	ba := &direction{j: j, src: b, dst: a, side: B}
	ab.opposite, ba.opposite = ba, ab
	j.lookout.wrote() // its owners may have, before

	var back sync.WaitGroup
	back.Go(ba.run)
	ab.run()
	back.Wait()
	if _, err := j.result(); err == nil {
		if side, err := j.lookout.settle(ctx); err != nil {
			j.end(side, err)
		}
	}
	j.lookout.end()
	first, err := j.result()
	for _, conn := range []Conn{a, b} {
		if err != nil {
			_ = caught(func() { abort(conn) }) // and if that fails, what follows
		}
		err = closeConn(conn, err)
	}
	return Result{AToB: ab.written, BToA: ba.written, First: first, Err: err}
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
