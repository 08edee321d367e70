package yamux

import (
	"errors"
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/splice"
)

// PourTo writes to a socket what has come from the peer, without waiting. It
// stops when that is all, at what the stream has ended with, which is io.EOF
// after FIN, or at an error of the socket, such as EAGAIN.
func (st *Stream) PourTo(fd int) (n int, streamErr, socketErr error) {
	for {
		c, err := st.takeChunk()
		if c == nil {
			return n, err, nil
		}
		written, err := c.writeTo(fd)
		n += written
		st.announce(st.chunkWritten(c, written))
		if err != nil {
			return n, nil, err
		}
	}
}

// takeChunk takes what came first out of the buffer, to be written. If there is
// nothing it gives the error that the stream has ended with, if it has.
func (st *Stream) takeChunk() (*chunk, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return nil, net.ErrClosed
	}
	if c := st.received.take(); c != nil {
		st.held = c.size()
		return c, nil
	}
	if st.finReceived {
		return nil, io.EOF
	}
	return nil, st.err
}

// chunkWritten puts back what is left of c, unless nobody wants it any more, and
// says what the peer is to be told.
func (st *Stream) chunkWritten(c *chunk, n int) announcement {
	st.mu.Lock()
	defer st.mu.Unlock()
	left := c.size()
	st.held = 0
	if left == 0 || st.closed || errors.Is(st.err, ErrOverBudget) {
		c.free()
		st.session.buffered.add(-left)
		st.session.config.Budget.add(-left)
	} else {
		st.received.putBack(c)
	}
	return st.consumedLocked(n)
}

func (c *chunk) writeTo(fd int) (n int, err error) {
	if c.pipe != nil {
		n, err = c.pipe.Pour(fd)
		return n, err
	}
	for c.start < c.end {
		m, err := unix.Write(fd, c.data[c.start:c.end])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return n, err
		}
		c.start += m
		n += m
	}
	return n, nil
}

// FillFrom reads what a socket has and sends it, up to a frame, without waiting.
// It gives EAGAIN for the stream if the peer cannot take more at the moment, or
// what Write would give; and the socket's error, which is io.EOF in the end.
// Short says that the socket had less than was asked for. What is small is only
// gathered, until Flush.
func (st *Stream) FillFrom(fd int) (n int, short bool, streamErr, socketErr error) {
	limit, bulky, err := st.offer()
	if err != nil {
		return 0, false, err, nil
	}
	if bulky {
		n, streamErr, socketErr := st.fillPipe(fd, limit)
		if n > 0 || socketErr != nil {
			return n, false, streamErr, socketErr
		}
	}
	n, asked, streamErr, socketErr := st.session.out.gatherFrom(st, limit, func(b []byte) (int, error) { return splice.Read(fd, b) })
	if streamErr != nil {
		return 0, false, streamErr, nil
	}
	st.mu.Lock()
	st.wantsRoom = false
	st.sendWindow -= uint32(n)
	st.bulky = n == asked && n >= bulk
	st.mu.Unlock()
	return n, n < asked, nil, socketErr
}

// offer says how much may be sent in a frame, and whether it should go through
// a pipe.
func (st *Stream) offer() (limit int, bulky bool, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.writeErrLocked(); err != nil {
		return 0, false, err
	}
	st.wantsRoom = true // until there was some: it may come at any time
	if st.sendWindow == 0 || st.frames >= maxStreamFrames {
		return 0, false, syscall.EAGAIN
	}
	return int(st.sendWindow), st.bulky && st.session.out.socket != nil && st.sendWindow >= bulk, nil
}

// maxPiped is the most payload of a frame that comes out of a pipe. The peer's
// pipe takes as much again in one go: 61 of its 64 pages, as Linux hands out
// what came behind a header.
const maxPiped = 240 << 10

// fillPipe sends what a socket has through a pipe. It gives 0 and no error if
// that cannot be done, and reading will say why.
func (st *Stream) fillPipe(fd, limit int) (n int, streamErr, socketErr error) {
	p := splice.Take()
	if p == nil {
		return 0, nil, nil
	}
	n, err := p.Fill(fd, min(limit, maxPiped))
	if n == 0 {
		p.GiveBack()
		if errors.Is(err, unix.EAGAIN) {
			err = nil // or urgent data, which a read gets over
		}
		return 0, nil, err // it is off the socket now: a read would see a plain end
	}
	st.mu.Lock()
	st.sendWindow -= uint32(n)
	st.wantsRoom = false
	st.bulky = n >= bulk
	st.frames++
	st.mu.Unlock()
	return n, st.session.out.piped(st, p), nil
}
