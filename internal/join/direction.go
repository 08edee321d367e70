package join

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
)

// bufferSize is what one read asks for: what a socket holds when its sender is
// quick and its receiver is not late.
const bufferSize = 64 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// direction is one of the two directions of a join.
type direction struct {
	j        *joined
	src, dst conn.Conn
	side     Side // which connection src is
	opposite *direction

	written    atomic.Int64 // to dst
	feed       feed
	writing    atomic.Bool // bytes wait for dst to take them
	notified   bool        // src's owner has been notified
	endSent    atomic.Bool // to dst
	halfClosed atomic.Bool // the opposite direction has ended: noProgress applies
	deadline   time.Time   // the one in force while halfClosed
}

// run copies until src ends or either connection fails. A panic is a failure.
func (d *direction) run() {
	defer func() {
		if c := crash.Caught(recover()); c != nil {
			d.j.crashed(c)
			_ = closeConn(d.src, c) // which wakes the opposite direction
			_ = closeConn(d.dst, c)
			d.j.throttle.release()
		}
	}()
	readErr, writeErr := d.copy()
	switch {
	case writeErr != nil:
		d.writeFailed(writeErr)
	case readErr != io.EOF: //nolint:errorlint // an error that wraps it is a failure, and must not pass for an end
		d.readFailed(readErr)
	case d.endIsReset():
		d.readFailed(ErrReset)
	default:
		d.forwardEnd()
	}
}

// endIsReset reports whether the end that was read is the rest of a reset: a write that
// fails takes the error off the socket, and the read after it sees a plain end. A socket
// that both sides have ended looks reset too, so the socket is asked first, and then
// whether the join has ended it.
func (d *direction) endIsReset() bool {
	_, failure := d.j.result()
	return failure != nil || wasReset(d.src) && !d.opposite.endSent.Load()
}

// copy copies until reading returns an error, which is io.EOF in the end, or
// writing does.
func (d *direction) copy() (readErr, writeErr error) {
	if from := newSocketSource(d); from != nil {
		return from.copy()
	}
	waiter := waiterOf(d.src)
	for {
		if waiter != nil {
			waiter.WaitReadable()
		}
		if readErr, writeErr = d.copyOnce(); readErr != nil || writeErr != nil {
			return readErr, writeErr
		}
	}
}

// copyOnce copies what one read returns.
func (d *direction) copyOnce() (readErr, writeErr error) {
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	n, readErr := d.src.Read(buf[:])
	return readErr, d.write(buf[:n])
}

// notifyRead notifies the source's owner, once, of what was read past its Read.
func (d *direction) notifyRead(err error) {
	if d.notified {
		return
	}
	d.notified = true
	conn.NotifyRead(d.src, err)
}

// write writes all of b. A half-closed join counts as moving as long as dst takes any
// byte of it.
func (d *direction) write(b []byte) error {
	for len(b) > 0 {
		portion := d.j.throttle.portion(len(b))
		if !d.j.throttle.wait(portion) {
			return net.ErrClosed
		}
		d.beginWrite()
		n, err := d.dst.Write(b[:portion])
		d.endWrite()
		d.moved(n)
		b = b[n:]
		if err != nil && !d.slow(n, err) {
			return err
		}
	}
	return nil
}

// beginWrite and endWrite are called around each call that waits for dst to take bytes.
func (d *direction) beginWrite() {
	d.writing.Store(true)
	d.j.detector.beginWrite()
}

func (d *direction) endWrite() {
	d.j.detector.endWrite()
	d.writing.Store(false)
}

// slow reports whether a write ended early only because noProgress was over, while there
// was progress.
func (d *direction) slow(n int, err error) bool {
	return n > 0 && d.halfClosed.Load() && errors.Is(err, os.ErrDeadlineExceeded)
}

// moved counts n bytes that were written, and puts the deadline of a half-closed join
// off, at most every tenth of noProgress, since each time costs.
func (d *direction) moved(n int) {
	if written := d.written.Add(int64(n)); written >= d.feed.due {
		d.feedMoved(written)
	}
	if n == 0 || !d.halfClosed.Load() {
		return
	}
	if next := time.Now().Add(noProgress); next.Sub(d.deadline) > noProgress/10 {
		d.deadline = next
		d.extend(next)
	}
}

// feedMoved adjusts what the sockets below the two connections may hold.
func (d *direction) feedMoved(written int64) {
	d.j.detector.withSockets(func(fds [2]int) { d.feed.moved(written, fds[d.side], fds[d.side.other()], d.j.crowd) })
}

func (d *direction) extend(to time.Time) {
	_ = d.src.SetReadDeadline(to)  // fails only on a closed connection,
	_ = d.dst.SetWriteDeadline(to) // which the next call notices
}

// forwardEnd ends dst as src has ended, and starts the clock of the opposite direction.
func (d *direction) forwardEnd() {
	d.endSent.Store(true) // before dst's peer can know
	d.j.record(d.side, nil)
	d.j.detector.beginWrite()
	err := d.dst.CloseWrite()
	d.j.detector.endWrite()
	if err != nil {
		d.writeFailed(err)
		return
	}
	d.opposite.halfClosed.Store(true)
	d.opposite.extend(time.Now().Add(noProgress))
}

// readFailed ends the join because src has failed. What was written to dst before is
// still delivered.
func (d *direction) readFailed(err error) {
	d.j.record(d.side, d.explain(err))
	abort(d.dst)
	_ = d.src.Reset()
	d.j.throttle.release()
}

// writeFailed ends this direction because dst has failed. The opposite direction
// delivers what dst had sent before, within abortWait.
func (d *direction) writeFailed(err error) {
	d.j.record(d.side.other(), d.explain(err))
	d.opposite.extend(time.Now().Add(abortWait))
}

func (d *direction) explain(err error) error {
	if d.halfClosed.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		return ErrNoProgress
	}
	return err
}
