package join

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/splice"
)

const (
	// bulk is how much must come at a time for splicing to go on: below it a pipe costs
	// more than a copy does.
	bulk = 32 << 10
	// turn is about how much a direction moves before others have their turn: a
	// pipe of full size.
	turn = 256 << 10
	// fewPipes is what is read at a time while there are no pipes: a receiver that does
	// not read holds as much of a buffer.
	fewPipes = 16 << 10
)

// flow is one direction of a loopJoin. It is guarded by the join's lock.
type flow struct {
	src, dst *end
	opposite *flow

	written  int64 // to dst
	notified bool  // src's owner has been notified
	endSent  bool  // to dst
	over     bool  // nothing is copied any more
	feed     feed
	waiting  waiting

	// Between two sockets: what was read and has not been written.
	bytes []byte // in memory; aliases buf, unless it has been kept for long
	buf   *[bufferSize]byte
	pipe  *splice.Pipe
	bulky bool // much comes at a time
	err   error
}

// run moves what can be moved without waiting, up to a turn. It reports whether there is
// more.
func (f *flow) run() (again bool) {
	for moved := 0; !f.over; {
		if moved >= turn {
			return true
		}
		n, wait := f.step()
		f.written += int64(n)
		moved += n
		if n > 0 {
			f.dst.markUnacked()
			f.fed()
		}
		if wait {
			f.wait()
			return false
		}
	}
	return false
}

// fed is called when bytes have moved.
func (f *flow) fed() {
	if f.waiting.stalled {
		f.recovered()
	}
	if f.written >= f.feed.due {
		f.feed.moved(f.written, f.src.fd, f.dst.fd, f.src.join.set.engine.crowd)
	}
}

// step moves one portion. It returns how much was written, and whether the next step has
// to wait for an event.
func (f *flow) step() (n int, wait bool) {
	switch {
	case f.src.stream != nil:
		return f.fromStream()
	case f.dst.stream != nil:
		return f.toStream()
	case f.pipe != nil || len(f.bytes) > 0:
		return f.write()
	case f.err != nil:
		f.sourceEnded(f.err)
		return 0, false
	case !f.src.readable:
		return 0, true
	}
	f.read()
	return 0, false
}

func (f *flow) fromStream() (n int, wait bool) {
	if f.dst.full {
		return 0, true
	}
	n, streamErr, socketErr := f.src.stream.PourTo(f.dst.fd)
	f.notifyRead(n, streamErr)
	switch {
	case socketErr != nil:
		return n, f.writeStopped("write", socketErr)
	case streamErr != nil:
		f.sourceEnded(streamErr)
		return n, false
	}
	return n, n == 0
}

func (f *flow) toStream() (n int, wait bool) {
	if !f.src.readable {
		return 0, true
	}
	n, short, streamErr, socketErr := f.dst.stream.FillFrom(f.src.fd)
	f.notifyRead(n, socketErr)
	if n > 0 {
		f.src.join.loop.AtEnd(f.dst)
	}
	if short && !f.src.odd || errors.Is(socketErr, unix.EAGAIN) {
		f.src.readable = false
	}
	switch {
	case errors.Is(streamErr, unix.EAGAIN):
		return n, true
	case streamErr != nil:
		f.writeFailed(streamErr)
	case socketErr != nil && !errors.Is(socketErr, unix.EAGAIN):
		f.sourceEnded(failure("read", socketErr))
	}
	return n, false
}

// read takes what the socket has into memory, or, while much comes at a time,
// into a pipe.
func (f *flow) read() {
	if f.bulky {
		if f.pipe = splice.GetPipe(); f.pipe != nil {
			n, err := f.pipe.Fill(f.src.fd, turn)
			f.bulky = n >= bulk
			if err == nil && n > 0 {
				f.notifyRead(n, nil)
				return
			}
			f.pipe.Release()
			f.pipe = nil
			if err != nil && !errors.Is(err, unix.EAGAIN) {
				// The error is off the socket now: a read would see a plain end.
				f.err = failure("splice", err)
				f.notifyRead(0, f.err)
				return
			}
		}
	}
	f.buf = buffers.Get().(*[bufferSize]byte)
	asked := f.buf[:]
	if f.bulky { // but there was no pipe
		asked = f.buf[:fewPipes]
	}
	n, err := splice.Read(f.src.fd, asked)
	f.bytes = f.buf[:n]
	// A short read leaves an end at most. The loop reports that: now, as odd, or again.
	if n < len(asked) && !f.src.odd || errors.Is(err, unix.EAGAIN) {
		f.src.readable = false
	}
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		f.err = failure("read", err)
	}
	f.bulky = n == len(asked)
	f.notifyRead(n, f.err)
	if n == 0 {
		f.release()
	}
}

// write writes what was read.
func (f *flow) write() (n int, wait bool) {
	if f.dst.full {
		return 0, true
	}
	var err error
	if f.pipe != nil {
		n, err = f.pipe.Pour(f.dst.fd)
	} else {
		n, err = writeSocket(f.dst.fd, f.bytes)
		f.bytes = f.bytes[n:]
	}
	switch {
	case err != nil:
		return n, f.writeStopped("write", err)
	case f.pipe != nil || len(f.bytes) == 0:
		f.release()
	}
	return n, false
}

// writeStopped handles the error of a write. It returns true if dst is merely full.
func (f *flow) writeStopped(call string, err error) (wait bool) {
	if !errors.Is(err, unix.EAGAIN) {
		f.writeFailed(failure(call, err))
		return false
	}
	f.dst.full = true
	f.keep()
	return true
}

// keep gives the buffer back while a receiver takes its time, and keeps only the bytes
// left in it.
func (f *flow) keep() {
	if f.buf != nil {
		rest := append([]byte(nil), f.bytes...)
		f.release()
		f.bytes = rest
	}
}

// release gives back what bytes were held in.
func (f *flow) release() {
	if f.buf != nil {
		buffers.Put(f.buf)
	}
	if f.pipe != nil {
		f.pipe.Release()
	}
	f.buf, f.bytes, f.pipe = nil, nil, nil
}

// drop ends the copying.
func (f *flow) drop() {
	f.release()
	f.over = true
	f.recovered() // it is neither counted nor checked any more
}

// notifyRead notifies the source's owner, once, of what has come.
func (f *flow) notifyRead(n int, err error) {
	if f.notified || n == 0 && (err == nil || errors.Is(err, unix.EAGAIN)) {
		return
	}
	f.notified = true
	if n > 0 {
		err = nil
	}
	conn.NotifyRead(f.src.conn, err)
}

// sourceEnded ends dst as src has ended, or ends the join because src has failed.
func (f *flow) sourceEnded(err error) {
	if err == io.EOF && f.endIsReset() { //nolint:errorlint // an error that wraps it is a failure, and must not pass for an end
		err = ErrReset
	}
	j := f.src.join
	if err != io.EOF { //nolint:errorlint // as above
		j.verdict.record(f.src.side, err)
		f.drop()
		f.opposite.drop() // it would write to src
		return
	}
	f.endSent = true
	j.verdict.record(f.src.side, nil)
	if err := f.dst.closeWrite(); err != nil {
		f.writeFailed(err)
		return
	}
	f.dst.markUnacked()
	f.drop()
	if !f.opposite.over {
		j.watchProgress(noProgress, f.src.side, ErrNoProgress)
	}
}

// endIsReset reports whether the end that was read is the rest of a reset: a write that
// fails takes the error off the socket, and the read after it sees a plain end. If the
// loop has reported FIN, and no failure with it, the end is that. A socket that both sides
// have ended looks reset too.
func (f *flow) endIsReset() bool {
	if f.src.join.verdict.err != nil {
		return true
	}
	return f.src.stream == nil && !f.src.fin && !f.opposite.endSent && isClosed(f.src.fd)
}

// writeFailed ends this direction because dst has failed. The opposite direction delivers
// what dst had sent before, to a receiver that takes it.
func (f *flow) writeFailed(err error) {
	j := f.src.join
	j.verdict.record(f.dst.side, err)
	f.drop()
	if !f.opposite.over {
		j.watchProgress(abortWait, f.dst.side, err)
	}
}
