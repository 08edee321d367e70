package join

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/eventloop"
)

// loopJoin is a join that an event loop serves. Each event takes its lock, and moves what
// can be moved without waiting.
type loopJoin struct {
	loop   *loop
	set    *Set
	done   func(Result)
	began  time.Time
	forget func() bool // ends the watch over the context

	mu      sync.Mutex // guards what follows
	ends    [2]end
	flows   [2]flow // by their source
	verdict verdict
	queued  bool // the loop has been asked for another turn
	closing bool
	timer   *time.Timer   // of watchProgress, once a direction has ended
	limit   time.Duration // of watchProgress
	// hopeless is set when there has been time enough to deliver what was written.
	hopeless bool
	reported bool // verdict is final: closeConns has read it
}

// end is one of the two connections: a socket, or a stream.
type end struct {
	join *loopJoin
	side Side
	conn conn.Conn // as its owner knows it, and wants to see it closed

	stream conn.Stream // or nil

	fd       int // of the socket; -1 if there is none
	watch    eventloop.Registration
	place    int32 // in its checkList, whose lock guards it
	watched  bool
	readable bool // there may be something to read
	full     bool // takes no more until it is writable
	odd      bool // a short read does not mean that there is no more
	fin      bool // FIN has come, and no reset before it
	gone     bool // the kernel is done with the connection
	unacked  bool // is among the unacked ends
	peer     peer
}

// start takes the connections over and sets the join going.
func (j *loopJoin) start(ctx context.Context) {
	j.mu.Lock()
	defer j.unlock()
	if j.closing {
		return // Stop was quicker
	}
	for side := range j.flows {
		f := &j.flows[side]
		f.src, f.dst, f.opposite = &j.ends[side], &j.ends[1-side], &j.flows[1-side]
	}
	for side := range j.ends {
		if err := j.ends[side].open(); err != nil {
			j.verdict.record(Side(side), err)
			j.close()
			return
		}
	}
	j.forget = context.AfterFunc(ctx, func() { j.stop(A, stopped{context.Cause(ctx)}) })
}

// servable is a stream whose session a loop can serve.
type servable interface {
	// ServeOn has the loop read and write the session's connection. Further calls do
	// nothing.
	ServeOn(*eventloop.Loop)
}

// open registers the end with the loop, or with the stream. Either may report something
// at once, and then waits for the join's lock.
func (e *end) open() error {
	if e.stream != nil {
		if s, ok := e.stream.(servable); ok {
			s.ServeOn(e.join.loop.Loop)
		}
		// What has come before is reported too.
		e.stream.Attach(e.streamReadable, func() { e.join.loop.Post(e) })
		e.join.loop.Post(e)
		return nil
	}
	fd, err := e.detach()
	if err != nil {
		return err
	}
	e.fd = fd
	e.watch, err = e.join.loop.Add(fd, e)
	e.watched = err == nil
	if e.watched { // its owners may have written before, and it may have to be settled
		e.markUnacked()
	}
	return err
}

// maxLends is how often a descriptor is lent for one socket: goroutines that accept
// connections meanwhile may be quicker to take it.
const maxLends = 16

// detach takes the socket, with the help of the engine's reserve if need be: it is late
// for a reset, as the peers know of each other.
func (e *end) detach() (fd int, err error) {
	socket, reserve := conn.Innermost(e.conn).(conn.Detachable), e.join.set.engine.Reserve
	fd, err = socket.Detach(e.closedByOwner)
	for range maxLends {
		short := errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
		if !short || reserve == nil || !reserve.Lend() {
			break
		}
		fd, err = socket.Detach(e.closedByOwner)
		reserve.Fill()
	}
	return fd, err
}

// Ready is called by the loop when something has happened to the end.
func (e *end) Ready(events eventloop.Events) (again bool) {
	j := e.join
	j.mu.Lock()
	defer j.unlock()
	if j.closing {
		return false
	}
	if events == 0 || events == eventloop.Posted {
		j.queued = false // this is the turn
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
	if events&(eventloop.PeerEnded|eventloop.Dead) == eventloop.PeerEnded {
		e.fin = true
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

// streamReadable is called by a stream's session when something has come.
func (e *end) streamReadable() {
	j := e.join
	j.mu.Lock()
	defer j.unlock()
	if !j.closing && j.flows[e.side].run() && !j.queued {
		j.queued = true
		j.loop.Post(e)
	}
	j.closeIfOver()
	if err := e.stream.Failed(); err != nil && !j.closing {
		j.lost(e, err)
	}
}

// run moves what can be moved. It reports whether there is more.
func (j *loopJoin) run() (again bool) {
	again = j.flows[A].run()
	again = j.flows[B].run() || again
	j.closeIfOver()
	return again && !j.closing
}

func (j *loopJoin) closeIfOver() {
	if !j.closing && j.flows[A].over && j.flows[B].over && (j.verdict.err != nil || !j.hasStuckBytes()) {
		j.close()
	}
}

// hasStuckBytes reports whether a peer has closed its window to some of what was written,
// the end included, or the path to it loses that. Then the socket is not closed yet, since
// the kernel is no good keeper of closed ones: it gives one up when too many attempts have
// been in vain, those before the close included, and until then lets minutes pass between
// two. The checks of unacked ends follow what becomes of it.
func (j *loopJoin) hasStuckBytes() bool {
	for side := range j.ends {
		e := &j.ends[side]
		if !e.unacked {
			continue
		}
		info, err := unix.GetsockoptTCPInfo(e.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil && stuck(info) {
			return true
		}
		e.gone = err == nil && info.State == tcpClose
	}
	return false
}

// died is called when the loop reports that e's socket is dead, which it also
// does when both of its directions have ended.
func (j *loopJoin) died(e *end, events eventloop.Events) {
	if finished := j.flows[e.side.other()].endSent; events&eventloop.Failed != 0 || !finished && isClosed(e.fd) {
		j.lost(e, ErrReset)
	}
}

// lost is called when e has failed. What had come from it is still delivered, to a
// receiver that takes it.
func (j *loopJoin) lost(e *end, err error) {
	if j.flows[e.side].over {
		j.flows[e.side.other()].writeFailed(err)
		j.closeIfOver()
		return
	}
	j.watchProgress(abortWait, e.side, err)
}

// closedByOwner is called when the owner of e's connection closes it.
func (e *end) closedByOwner() { e.join.stop(e.side, net.ErrClosed) }

// stop ends the join at once.
func (j *loopJoin) stop(side Side, err error) {
	j.mu.Lock()
	defer j.unlock()
	if !j.closing {
		j.verdict.record(side, err)
		j.close()
	}
}

// unlock releases the lock. A panic ends the join, and nothing else: every function that
// calls into connections and streams defers it.
func (j *loopJoin) unlock() {
	defer j.mu.Unlock()
	if c := crash.Caught(recover()); c != nil {
		j.crashed(c)
	}
}

// crashed ends the join for a panic, after which its flows are not run again: their work
// is half done.
func (j *loopJoin) crashed(c *crash.Error) {
	if j.reported {
		j.set.crashed(c)
		return
	}
	j.verdict.crash(c)
	j.hopeless = true
	if !j.closing {
		_ = caught(j.close) // the first panic is the one to report
	}
}

// close takes the join from the loop. The rest may have to wait, and is done
// elsewhere.
func (j *loopJoin) close() {
	j.closing = true
	defer j.startClosing() // even if there is a panic on the way
	if j.timer != nil {
		j.timer.Stop()
	}
	for side := range j.ends {
		e := &j.ends[side]
		if e.watched {
			j.loop.Forget(e.watch)
		}
		if e.unacked {
			e.clearUnacked()
		}
		j.flows[side].drop()
	}
	if j.forget != nil {
		j.forget()
	}
}

func (j *loopJoin) startClosing() {
	if j.verdict.err == nil && j.ends[A].stream == nil && j.ends[B].stream == nil {
		j.loop.AtEnd(task(j.closeConns)) // there is nothing to wait for
		return
	}
	go j.closeConns()
}
