package yamux

import (
	"errors"
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/splice"
)

// PourTo writes what has come from the peer to a socket, without waiting. It stops when
// all is written, at the error that ends the stream, which is io.EOF after FIN, or at
// an error of the socket, such as EAGAIN.
func (st *Stream) PourTo(fd int) (n int, streamErr, socketErr error) {
	for {
		c, err := st.takeChunk()
		if c == nil {
			return n, err, nil
		}
		written, err := c.writeTo(fd)
		n += written
		st.sendUpdate(st.returnChunk(c, written))
		if err != nil {
			return n, nil, err
		}
	}
}

// takeChunk takes the first chunk out of the buffer, to be written. If there is none it
// returns the error that has ended the stream, if any.
func (st *Stream) takeChunk() (*chunk, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return nil, net.ErrClosed
	}
	if c := st.received.takeChunk(); c != nil {
		st.held = c.size()
		return c, nil
	}
	if st.finReceived {
		return nil, io.EOF
	}
	return nil, st.err
}

// returnChunk puts back what is left of c, unless nobody will read it, and returns the
// update for the peer.
func (st *Stream) returnChunk(c *chunk, n int) windowUpdate {
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

// FillFrom reads up to a frame from a socket and sends it, without waiting. The error
// of the stream is EAGAIN if the peer cannot take more at the moment, or what Write
// would return. The error of the socket is io.EOF in the end. Short reports that the
// socket had less than was asked for. Small payload is only gathered, until Flush.
func (st *Stream) FillFrom(fd int) (n int, short bool, streamErr, socketErr error) {
	limit, bulky, err := st.fillLimit()
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
	st.wantsWritable = false
	st.sendWindow -= uint32(n)
	st.bulky = n == asked && n >= bulk
	st.mu.Unlock()
	return n, n < asked, nil, socketErr
}

// fillLimit returns how much the next frame may carry, and whether it should go through
// a pipe.
func (st *Stream) fillLimit() (limit int, bulky bool, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.writeErrLocked(); err != nil {
		return 0, false, err
	}
	st.wantsWritable = true // until something is sent: the window may open at any time
	if st.sendWindow == 0 || st.pipeFrames >= maxStreamFrames {
		return 0, false, syscall.EAGAIN
	}
	return int(st.sendWindow), st.bulky && st.session.out.socket != nil && st.sendWindow >= bulk, nil
}

// maxPipePayload is the most payload that a frame carries out of a pipe. The peer's
// pipe takes as much in one splice: 61 of its 64 pages, as Linux hands out what came
// behind a header.
const maxPipePayload = 240 << 10

// fillPipe sends what a socket has through a pipe. It returns 0 and no error if that
// cannot be done; a read then shows why.
func (st *Stream) fillPipe(fd, limit int) (n int, streamErr, socketErr error) {
	p := splice.GetPipe()
	if p == nil {
		return 0, nil, nil
	}
	n, err := p.Fill(fd, min(limit, maxPipePayload))
	if n == 0 {
		p.Release()
		if errors.Is(err, unix.EAGAIN) {
			err = nil // or urgent data, which a read gets past
		}
		return 0, nil, err // it is off the socket now: a read would see a plain end
	}
	st.mu.Lock()
	st.sendWindow -= uint32(n)
	st.wantsWritable = false
	st.bulky = n >= bulk
	st.pipeFrames++
	st.mu.Unlock()
	return n, st.session.out.sendPipe(st, p), nil
}
