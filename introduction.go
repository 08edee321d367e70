package relay

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/proxyproto"
)

// introduction is the reading of one connection's header: without a goroutine, if
// the connection can be watched or the header is there already.
type introduction struct {
	*userAddrs
	registered context.Context
	conn       conn.Conn
	header     []byte              // what has been read of it; the reader has it
	turn       proxyproto.Sequence // that it says; the reader has it

	mu      sync.Mutex // guards what follows
	stop    func()     // ends the watch, if there is one
	forget  func() bool
	reading bool
	ended   bool // by the end of the registration
}

// begin has i done.
func (u *userAddrs) begin(i *introduction) {
	i.mu.Lock()
	i.forget = context.AfterFunc(i.registered, i.end)
	i.stop = u.next.whenReadable(i.conn, i.readable)
	watched := i.stop != nil
	i.mu.Unlock()
	if !watched {
		i.readable()
	}
}

// readable is called when there is something to read, or no way of knowing.
func (i *introduction) readable() {
	i.mu.Lock()
	first := !i.reading && !i.ended
	i.reading = first
	i.mu.Unlock()
	if !first {
		return
	}
	defer i.leaveIfCrashed()
	user, public, details, err := proxyproto.ReadDetails(promptHeader{i})
	if errors.Is(err, syscall.EAGAIN) {
		go i.read()
		return
	}
	if conn := i.introduced(user, public, details, err); conn == nil {
		i.leave()
	} else if !i.awaitTurn(conn) {
		i.handOnNow(conn)
	}
}

// read waits for what is left of the header.
func (i *introduction) read() {
	defer i.leaveIfCrashed()
	user, public, details, err := proxyproto.ReadDetails(&slowHeader{introduction: i, again: i.header})
	if conn := i.introduced(user, public, details, err); conn == nil {
		i.leave()
	} else if !i.awaitTurn(conn) {
		i.handOn(conn)
	}
}

// awaitTurn has conn handed on after the one who came before from the same address. It
// returns false if that one has been.
func (i *introduction) awaitTurn(conn conn.Conn) bool {
	return i.order.await(i.turn.After, func() { i.handOnNow(conn) })
}

// handOnNow is handOn for a caller who cannot wait.
func (i *introduction) handOnNow(conn conn.Conn) {
	defer i.leaveIfCrashed()
	if i.next.takeNow(conn) {
		i.leave()
		return
	}
	go i.handOn(conn)
}

func (i *introduction) handOn(conn conn.Conn) {
	defer i.leaveIfCrashed()
	i.next.take(i.registered, conn)
	i.leave()
}

// introduced gives the connection as the user's. If there is no header, or the
// registration has ended meanwhile, it resets it and gives nil.
func (i *introduction) introduced(user, public net.Addr, details proxyproto.Details, err error) conn.Conn {
	i.noticed(details.Notice)
	i.turn = details.Sequence
	if !i.forget() {
		_ = i.conn.Reset() // as is done already, or about to be
		return nil
	}
	if err != nil {
		_ = i.conn.Reset()
		if len(i.header) > 0 && !errors.Is(err, net.ErrClosed) {
			i.failed(err)
		}
		return nil
	}
	i.came.Store(true)
	_ = i.conn.SetReadDeadline(time.Time{}) // fails only on a closed connection, which the next call notices
	if user == nil {
		return i.conn
	}
	return proxyproto.NewConn(i.conn, user, public)
}

// end is called when the registration has ended before the header has come.
func (i *introduction) end() {
	i.mu.Lock()
	i.ended = true
	reading := i.reading
	if i.stop != nil {
		i.stop()
	}
	i.mu.Unlock()
	_ = i.conn.Reset()
	if !reading {
		i.leave()
	}
}

// leave gives the place back that it has, and the turn to the next.
func (i *introduction) leave() {
	i.order.pass(i.turn.Number)
	<-i.slots
	i.userAddrs.reading.Done()
}

// leaveIfCrashed ends the connection that a panic is about, and no other.
func (i *introduction) leaveIfCrashed() {
	if c := crash.Caught(recover()); c != nil {
		_ = i.conn.Reset()
		if c.First() {
			i.events.Observe(observe.Event{Name: observe.Panicked, Level: slog.LevelError, Err: c})
		}
		i.leave()
	}
}

// promptHeader reads what is there, and gives EAGAIN behind it.
type promptHeader struct{ *introduction }

func (r promptHeader) Read(b []byte) (int, error) {
	n, err := conn.TryRead(r.conn, b)
	r.header = append(r.header, b[:n]...)
	return n, err
}

// slowHeader reads what has been read before, and then from the connection: without
// a deadline until the first byte has come, and with one after it.
type slowHeader struct {
	*introduction
	again []byte
	timed bool
}

func (r *slowHeader) Read(b []byte) (int, error) {
	if len(r.header) > 0 && !r.timed {
		r.timed = true
		_ = r.conn.SetReadDeadline(time.Now().Add(headerTimeout)) // as in introduced
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
