package join

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/eventloop"
)

// loopJoin is a join that an event loop serves. Whoever has something to do
// with it takes its lock, moves what can be moved without waiting, and leaves.
type loopJoin struct {
	loop   *eventloop.Loop
	done   func(Result)
	forget func() bool // ends the watch over the context

	mu      sync.Mutex // guards what follows
	ends    [2]end
	flows   [2]flow // by their source
	verdict verdict
	queued  bool // the loop has been asked for another turn
	closing bool
	timer   *time.Timer // of watchProgress, once something has ended; with
	limit   time.Duration
	// hopeless: there has been time enough to deliver what was written.
	hopeless bool
}

// end is one of the two connections: a socket, or a stream.
type end struct {
	join *loopJoin
	side Side
	conn Conn // what its owner knows, and wants to see closed

	stream Stream // or nil

	fd       int // of the socket; -1 if there is none
	watched  bool
	watch    eventloop.Registration
	readable bool // there may be something to read
	full     bool // it would not take more, until it is writable
	odd      bool // a short read does not mean that there is no more
}

// start takes the connections over and sets the join going.
func (j *loopJoin) start(ctx context.Context) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for side := range j.flows {
		f := &j.flows[side]
		f.src, f.dst, f.opposite = &j.ends[side], &j.ends[1-side], &j.flows[1-side]
	}
	for side := range j.ends {
		if err := j.ends[side].open(); err != nil {
			j.verdict.end(Side(side), err)
			j.close()
			return
		}
	}
	j.forget = context.AfterFunc(ctx, func() { j.stop(A, stopped{context.Cause(ctx)}) })
}

// open makes the end known to the loop, or the stream. Either may tell of
// something at once, and then waits for the join's lock.
func (e *end) open() error {
	if e.stream != nil {
		// What has come before is told of too.
		e.stream.Attach(e.arrived, func() { e.join.loop.Post(e) })
		e.join.loop.Post(e)
		return nil
	}
	fd, err := innermost(e.conn).(Detachable).Detach(e.closedByOwner)
	if err != nil {
		return err
	}
	e.fd = fd
	e.watch, err = e.join.loop.Add(fd, e)
	e.watched = err == nil
	return err
}

// Ready is called by the loop when something has happened to the end.
func (e *end) Ready(events eventloop.Events) (again bool) {
	j := e.join
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closing {
		return false
	}
	if events == 0 {
		j.queued = false
	}
	if events&(eventloop.Readable|eventloop.PeerEnded|eventloop.Dead) != 0 {
		e.readable = true
	}
	if events&(eventloop.Writable|eventloop.Dead) != 0 {
		e.full = false
	}
	if events&(eventloop.Urgent|eventloop.PeerEnded|eventloop.Dead) != 0 {
		e.odd = true
	}
	again = j.run()
	if events&eventloop.Dead != 0 && !j.closing {
		j.died(e, events)
	}
	if !again || j.queued {
		return false
	}
	j.queued = true
	return true
}

// arrived is called by a stream's session when something has come.
func (e *end) arrived() {
	j := e.join
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.closing && j.flows[e.side].run() && !j.queued {
		j.queued = true
		j.loop.Post(e)
	}
	j.closeIfOver()
	if err := e.stream.Failed(); err != nil && !j.closing {
		j.lost(e, err)
	}
}

// run moves what can be moved. It tells whether there is more of it.
func (j *loopJoin) run() (again bool) {
	again = j.flows[A].run()
	again = j.flows[B].run() || again
	j.closeIfOver()
	return again && !j.closing
}

func (j *loopJoin) closeIfOver() {
	if !j.closing && j.flows[A].over && j.flows[B].over {
		j.close()
	}
}

// died is called when the loop says that e's socket is dead, which it also
// does when both of its directions have ended.
func (j *loopJoin) died(e *end, events eventloop.Events) {
	if finished := j.flows[e.side.other()].finished; events&eventloop.Failed != 0 || !finished && isClosed(e.fd) {
		j.lost(e, ErrReset)
	}
}

// lost is called when e has failed. What had come from it is still delivered, to
// a receiver that takes it; nothing can be written to it.
func (j *loopJoin) lost(e *end, err error) {
	if j.flows[e.side].over {
		j.flows[e.side.other()].writeFailed(err)
		j.closeIfOver()
		return
	}
	j.watchProgress(abortWait, e.side, err)
}

// looks is how often is looked for progress within the time in which there has
// to be some.
const looks = 10

// watchProgress ends the join for the given reason when no byte has been
// delivered for as long as limit. Of several limits the strictest holds.
func (j *loopJoin) watchProgress(limit time.Duration, side Side, reason error) {
	if j.timer != nil && j.limit <= limit {
		return
	}
	if j.timer != nil {
		j.timer.Stop()
	}
	j.limit = limit
	delivered, still := int64(-1), 0 // counted at the first look: most joins are over by then
	var timer *time.Timer
	timer = time.AfterFunc(limit/looks, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		if j.closing || j.timer != timer {
			return
		}
		now := j.delivered()
		if still++; now != delivered {
			delivered, still = now, 0
		}
		if still < looks {
			timer.Reset(limit / looks)
			return
		}
		j.verdict.end(side, reason)
		j.hopeless = true
		j.close()
	})
	j.timer = timer
}

// delivered is how many bytes both peers have taken. One who reads slowly takes
// bytes long before there is room to write more.
func (j *loopJoin) delivered() int64 {
	n := j.flows[A].written + j.flows[B].written
	for side := range j.ends {
		if fd := j.ends[side].fd; fd >= 0 {
			n -= int64(queued(fd))
		}
	}
	return n
}

// closedByOwner is called when the owner of e's connection closes it.
func (e *end) closedByOwner() { e.join.stop(e.side, net.ErrClosed) }

// stop ends the join at once.
func (j *loopJoin) stop(side Side, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.closing {
		j.verdict.end(side, err)
		j.close()
	}
}

// close takes the join from the loop. The rest may have to wait, and is done
// elsewhere.
func (j *loopJoin) close() {
	j.closing = true
	if j.timer != nil {
		j.timer.Stop()
	}
	if j.forget != nil {
		j.forget()
	}
	for side := range j.ends {
		j.flows[side].drop()
		if e := &j.ends[side]; e.watched {
			j.loop.Forget(e.watch)
		}
	}
	if j.verdict.err == nil && j.ends[A].stream == nil && j.ends[B].stream == nil {
		j.loop.AtEnd(j.finish) // a handler has seen the end, and there is nothing to wait for
		return
	}
	go j.finish()
}

// finish closes both connections and tells the result. What was written is
// delivered before a reset, by a receiver that takes it within abortWait.
func (j *loopJoin) finish() {
	err := j.verdict.err
	for side := range j.ends { // a stream delivers by itself
		if e := &j.ends[side]; e.stream != nil {
			closeConn(e.conn, err)
		}
	}
	limit := time.Now().Add(abortWait)
	for side := range j.ends {
		e := &j.ends[side]
		if e.stream != nil {
			continue
		}
		if e.fd >= 0 {
			var cut stopped
			if err != nil && !j.hopeless && !errors.As(err, &cut) {
				waitAcknowledged(limit, func() bool { return unacknowledged(e.fd) })
			}
			closeSocket(e.fd, err)
		}
		closeConn(e.conn, err)
	}
	j.done(Result{AToB: j.flows[A].written, BToA: j.flows[B].written, First: j.verdict.first, Err: err})
}

// closeConn closes conn, for its owner or, if it still has its socket, for its
// peer.
func closeConn(conn Conn, err error) {
	if err == nil {
		_ = conn.Close() // the peer knows already that all is said
	} else {
		_ = conn.Reset()
	}
}
