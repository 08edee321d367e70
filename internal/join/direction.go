package join

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// direction is one of the two ways bytes go in a join.
type direction struct {
	j        *joined
	src, dst Conn
	side     Side // which connection src is
	opposite *direction

	written    int64       // to dst
	finished   atomic.Bool // dst was told that no more comes
	halfClosed atomic.Bool // the opposite direction has ended: noProgress applies
	deadline   time.Time   // the one in force while halfClosed
}

// run copies until src ends or either connection fails.
func (d *direction) run() {
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	for {
		n, err := d.src.Read(buf[:])
		if werr := d.write(buf[:n]); werr != nil {
			d.writeFailed(werr)
			return
		}
		if err == nil {
			d.progress()
			continue
		}
		if err != io.EOF { //nolint:errorlint // an error that wraps it is a failure, and must not pass for an end
			d.readFailed(err)
			return
		}
		// A write that failed takes the error off the socket, and the read
		// that comes after it sees a plain end. A socket that both sides have
		// ended looks reset too: so it is asked first, and then whether we had.
		if _, failure := d.j.result(); failure != nil || wasReset(d.src) && !d.opposite.finished.Load() {
			d.readFailed(ErrReset)
			return
		}
		d.finish()
		return
	}
}

// write writes all of b. A half-closed join counts as moving as long as any
// byte of it is taken.
func (d *direction) write(b []byte) error {
	for len(b) > 0 {
		n, err := d.dst.Write(b)
		d.written += int64(n)
		b = b[n:]
		slow := errors.Is(err, os.ErrDeadlineExceeded) && n > 0 && d.halfClosed.Load()
		if err != nil && !slow {
			return err
		}
		d.progress()
	}
	return nil
}

// finish hands the end of src on to dst, and starts the clock for the
// opposite direction.
func (d *direction) finish() {
	d.finished.Store(true) // before dst's peer can know it
	d.j.end(d.side, nil)
	if err := d.dst.CloseWrite(); err != nil {
		d.writeFailed(err)
		return
	}
	d.opposite.halfClosed.Store(true)
	d.opposite.extend(time.Now().Add(noProgress))
}

// progress puts the deadline of a half-closed join off, at most every tenth of
// it, because every time costs.
func (d *direction) progress() {
	if !d.halfClosed.Load() {
		return
	}
	if next := time.Now().Add(noProgress); next.Sub(d.deadline) > noProgress/10 {
		d.deadline = next
		d.extend(next)
	}
}

func (d *direction) extend(to time.Time) {
	_ = d.src.SetReadDeadline(to)  // fails only on a closed connection,
	_ = d.dst.SetWriteDeadline(to) // which the next call notices
}

// readFailed ends the join because src is gone. What was written to dst before
// is still delivered.
func (d *direction) readFailed(err error) {
	d.j.end(d.side, d.explain(err))
	abort(d.dst)
	_ = d.src.Reset()
}

// writeFailed ends this direction because dst is gone. What dst had sent
// before is the opposite direction's to deliver, within abortWait.
func (d *direction) writeFailed(err error) {
	d.j.end(d.side.other(), d.explain(err))
	d.opposite.extend(time.Now().Add(abortWait))
}

func (d *direction) explain(err error) error {
	if d.halfClosed.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		return ErrNoProgress
	}
	return err
}
