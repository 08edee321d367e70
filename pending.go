package relay

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/proxyproto"
)

// pendingConn is a connection whose header has not been read yet, or that has not been
// handed on since. It takes no goroutine while it can be watched, or if the header is
// there already.
type pendingConn struct {
	*headerReader
	registered context.Context
	conn       conn.Conn
	header     []byte              // read so far; only the reader uses it
	sequence   proxyproto.Sequence // in the header; only the reader uses it

	mu      sync.Mutex // guards what follows
	unwatch func()     // nil without a watch
	unbind  func() bool
	reading bool
	ended   bool // by the end of the registration
}

// start reads the header as soon as it comes.
func (p *pendingConn) start() {
	p.mu.Lock()
	p.unbind = context.AfterFunc(p.registered, p.end)
	p.unwatch = p.next.whenReadable(p.conn, p.readable)
	watched := p.unwatch != nil
	p.mu.Unlock()
	if !watched {
		p.readable()
	}
}

// readable is called when there is something to read, or when that cannot be known.
func (p *pendingConn) readable() {
	p.mu.Lock()
	first := !p.reading && !p.ended
	p.reading = first
	p.mu.Unlock()
	if !first {
		return
	}
	defer p.releaseOnPanic()
	user, public, details, err := proxyproto.ReadDetails(tryReader{p})
	if errors.Is(err, syscall.EAGAIN) {
		go p.read()
		return
	}
	if details.Probe {
		go p.answer()
	} else if details.Control {
		p.control()
	} else if conn := p.headerRead(user, public, details, err); conn == nil {
		p.release()
	} else if !p.waitForTurn(conn) {
		p.tryHandOn(conn)
	}
}

// read waits for the rest of the header.
func (p *pendingConn) read() {
	defer p.releaseOnPanic()
	user, public, details, err := proxyproto.ReadDetails(&waitReader{pendingConn: p, again: p.header})
	if details.Probe {
		p.answer()
	} else if details.Control {
		p.control()
	} else if conn := p.headerRead(user, public, details, err); conn == nil {
		p.release()
	} else if !p.waitForTurn(conn) {
		p.handOn(conn)
	}
}

// control gives the connection up to be the control channel, and its slot.
func (p *pendingConn) control() {
	if p.unbind() {
		p.headerReader.control(p.registered, p.conn)
	} else {
		_ = p.conn.Reset() // end has done so, or is about to
	}
	p.release()
}

// waitForTurn has conn handed on after the previous user of the same address. It returns
// false if that user has been handed on already.
func (p *pendingConn) waitForTurn(conn conn.Conn) bool {
	return p.order.waitFor(p.sequence.After, func() { p.tryHandOn(conn) })
}

// tryHandOn is handOn for a caller that cannot wait.
func (p *pendingConn) tryHandOn(conn conn.Conn) {
	defer p.releaseOnPanic()
	if p.next.tryHandleUser(conn) {
		p.release()
		return
	}
	go p.handOn(conn)
}

func (p *pendingConn) handOn(conn conn.Conn) {
	defer p.releaseOnPanic()
	p.next.handleUser(p.registered, conn)
	p.release()
}

// headerRead returns the connection as the user's. Without a header, or if the
// registration has ended meanwhile, it resets the connection and returns nil.
func (p *pendingConn) headerRead(user, public net.Addr, details proxyproto.Details, err error) conn.Conn {
	p.logNotice(details.Notice)
	p.sequence = details.Sequence
	if !p.unbind() {
		_ = p.conn.Reset() // end has done so, or is about to
		return nil
	}
	if err != nil {
		_ = p.conn.Reset()
		if len(p.header) > 0 && !errors.Is(err, net.ErrClosed) {
			p.logInvalid(err)
		}
		return nil
	}
	p.served.Store(true)
	_ = p.conn.SetReadDeadline(time.Time{}) // fails only on a closed connection, which the next call notices
	if user == nil {
		return p.conn
	}
	return proxyproto.NewConn(p.conn, user, public)
}

// end is called when the registration ends before the header has come.
func (p *pendingConn) end() {
	p.mu.Lock()
	p.ended = true
	reading := p.reading
	if p.unwatch != nil {
		p.unwatch()
	}
	p.mu.Unlock()
	_ = p.conn.Reset()
	if !reading {
		p.release()
	}
}

// release gives up the slot, and passes the turn to the next user.
func (p *pendingConn) release() {
	p.order.handedOn(p.sequence.Number)
	<-p.slots
	p.pending.Done()
}

// releaseOnPanic is deferred where a panic is to end this connection, and no other.
func (p *pendingConn) releaseOnPanic() {
	if c := crash.Caught(recover()); c != nil {
		_ = p.conn.Reset()
		p.reportPanic(c)
		p.release()
	}
}

// tryReader reads what has come, and returns EAGAIN after it.
type tryReader struct{ *pendingConn }

// Read does not wait.
func (r tryReader) Read(b []byte) (int, error) {
	n, err := conn.TryRead(r.conn, b)
	r.header = append(r.header, b[:n]...)
	return n, err
}

// waitReader reads again what was read before, and then the connection. There is no
// deadline for the first byte, and headerTimeout for the others.
type waitReader struct {
	*pendingConn
	again []byte
	timed bool
}

// Read waits.
func (r *waitReader) Read(b []byte) (int, error) {
	if len(r.header) > 0 && !r.timed {
		r.timed = true
		_ = r.conn.SetReadDeadline(time.Now().Add(headerTimeout)) // as in headerRead
	}
	if len(r.again) > 0 {
		n := copy(b, r.again)
		r.again = r.again[n:]
		return n, nil
	}
	n, err := r.conn.Read(b)
	r.header = append(r.header, b[:n]...)
	return n, err
}
