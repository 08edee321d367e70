package endpoint

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/proxyproto"
	"github.com/seed96252745/relay/internal/tcpstate"
	"github.com/seed96252745/relay/internal/wire"
)

// probe is a connection to the relay client as for a user, on which it answers whether it
// could serve one. It is no user: it counts against no limit, has no number, and is in no
// event. While it waits it has a goroutine only where that cannot be helped, as with TLS: a
// relay client that never answers costs little.
type probe struct {
	health *health
	began  time.Time
	late   bool // health.mu guards it

	mu      sync.Mutex         // guards what follows
	ended   bool               // nothing more is done with conn
	opening protocol.Opening   // by which conn is to come, or nil
	conn    conn.Conn          // or nil
	cancel  context.CancelFunc // of what waits for conn, or nil
	unwatch func()             // or nil
	unsent  []byte             // of the header
	line    []byte             // of the answer, read so far
}

// run runs f on a goroutine, unless the probe has ended. The tunnel counts it as a user.
func (p *probe) run(f func()) {
	users := &p.health.tunnel.users
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	users.Add(1)
	go func() {
		defer users.Done()
		defer func() {
			if c := crash.Caught(recover()); c != nil {
				p.health.tunnel.endpoint.group.Crashed(c)
				p.fail(c)
			}
		}()
		f()
	}()
}

// start asks the session for a connection. It does not wait.
func (p *probe) start() {
	s := p.health.tunnel.Session
	if o, ok := s.(protocol.TryOpener); ok {
		if c := o.TryOpen(); c != nil {
			p.opened(c)
			return
		}
	}
	starter, ok := s.(protocol.Starter)
	if !ok {
		p.open(s)
		return
	}
	opening, err := starter.Start(p.opened)
	if err != nil {
		p.fail(err)
		return
	}
	p.mu.Lock()
	ended := p.ended
	p.opening = opening
	p.mu.Unlock()
	if ended {
		p.giveUp(opening)
	}
}

// open waits for the connection on a goroutine.
func (p *probe) open(s protocol.Session) {
	ctx, cancel := context.WithCancel(context.Background())
	p.mu.Lock()
	p.cancel = cancel
	if p.ended {
		cancel()
	}
	p.mu.Unlock()
	p.run(func() {
		c, err := s.Open(ctx)
		if err != nil {
			p.fail(err)
			return
		}
		p.opened(c)
	})
}

// opened sends the header on the connection, which has come. It does not wait.
func (p *probe) opened(c conn.Conn) {
	switch ended, sent := p.sendNow(c); {
	case ended:
		_ = c.Reset()
	case !sent || !p.watch():
		p.run(p.waitForAnswer)
	}
}

// sendNow sends as much of the header on c as takes no waiting, and reports whether that is
// all, or the probe has ended.
func (p *probe) sendNow(c conn.Conn) (ended, sent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn = c; p.ended {
		return true, false
	}
	header := proxyproto.ProbeHeader()
	if !conn.TryWrite(c, header) {
		p.unsent = header[conn.WriteNow(c, header):]
	}
	return false, len(p.unsent) == 0
}

// watch has the answer read when it comes. It reports false if that has to be waited for.
func (p *probe) watch() bool {
	read := func() { p.run(p.read) }
	if n, ok := conn.Innermost(p.conn).(conn.Notifier); ok {
		n.OnReadable(read)
		read() // what has come before
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return true
	}
	p.unwatch = p.health.tunnel.endpoint.group.engine.WhenReadable(p.conn, read)
	return p.unwatch != nil
}

// maxAnswer is more than an answer has.
const maxAnswer = 128

// read reads what has come of the answer, and waits for no more.
func (p *probe) read() {
	line, err := p.readMore()
	switch {
	case errors.Is(err, net.ErrClosed): // by end
	case bytes.IndexByte(line, '\n') >= 0 || len(line) > maxAnswer:
		p.end(wire.ReadProbeAnswer(bytes.NewReader(line)))
	case errors.Is(err, syscall.EAGAIN), err == nil:
		if _, notified := conn.Innermost(p.conn).(conn.Notifier); !notified && !p.watch() {
			p.waitForAnswer()
		}
	default:
		p.fail(err)
	}
}

// readMore returns what has come so far.
func (p *probe) readMore() (line []byte, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return nil, net.ErrClosed
	}
	b := make([]byte, maxAnswer)
	n, err := conn.TryRead(p.conn, b)
	if errors.Is(err, syscall.EAGAIN) {
		n, err = conn.ReadNow(p.conn, b) // a socket that TryRead leaves to the runtime's poller
	}
	p.line = append(p.line, b[:n]...)
	return p.line, err
}

// waitForAnswer sends the header, unless that was done, and reads the answer.
func (p *probe) waitForAnswer() {
	p.mu.Lock()
	unsent, line := p.unsent, p.line
	p.mu.Unlock()
	if len(unsent) > 0 {
		_ = p.conn.SetWriteDeadline(time.Now().Add(headerTimeout)) // fails as the write does
		if _, err := p.conn.Write(unsent); err != nil {
			p.fail(err)
			return
		}
	}
	p.end(wire.ReadProbeAnswer(bufio.NewReader(io.MultiReader(bytes.NewReader(line), p.conn))))
}

func (p *probe) fail(err error) { p.end(wire.ProbeAnswer{}, err) }

// end ends the probe with an answer or an error. Only the first call counts.
func (p *probe) end(answer wire.ProbeAnswer, err error) {
	if !p.close(err != nil) {
		return
	}
	h := p.health
	defer h.tunnel.users.Done()
	if err != nil {
		h.report(h.unanswered(p, err))
		return
	}
	h.report(h.answered(p, answer))
}

// abort ends the probe without an answer that anybody wants.
func (p *probe) abort() {
	if p.close(true) {
		p.health.tunnel.users.Done()
	}
}

// close ends the connection. It reports whether it is the first call that does.
func (p *probe) close(reset bool) bool {
	p.mu.Lock()
	first := !p.ended
	p.ended = true
	c, unwatch, opening, cancel := p.conn, p.unwatch, p.opening, p.cancel
	p.mu.Unlock()
	if !first {
		return false
	}
	if cancel != nil {
		cancel()
	}
	switch {
	case c == nil && opening != nil:
		p.giveUp(opening)
	case c == nil:
	case reset:
		unwatchAnd(unwatch, c.Reset)
	default:
		unwatchAnd(unwatch, c.Close)
	}
	return true
}

func unwatchAnd(unwatch func(), end func() error) {
	if unwatch != nil {
		unwatch()
	}
	_ = end()
}

// giveUp takes a connection back that is yet to come.
func (p *probe) giveUp(o protocol.Opening) {
	if !o.Hold() {
		return // opened has it, or is about to
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if c, err := o.Wait(over); err == nil {
		_ = c.Reset() // it came at the last moment
	}
}

// isUnacknowledged reports whether the relay client's machine has acknowledged nothing of
// the probe for so long.
func (p *probe) isUnacknowledged(limit time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conn != nil && !p.ended && tcpstate.Unacknowledged(p.conn) >= limit
}

// isUnconnected reports whether no connection has come for so long.
func (p *probe) isUnconnected(limit time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conn == nil && !p.ended && time.Since(p.began) >= limit
}

// probeLost is after how long without an acknowledgment the connection of a probe is lost, as
// other connections to relay clients are. A pool would have it for as long as the kernel
// goes on trying. A probe is lost as well whose connection does not come in that time: a relay
// client forgets a claim that it cannot make, as when it is short of descriptors, and
// probes that nobody answers any more would keep out further ones.
const probeLost = 30 * time.Second

// endIfLost ends the probe if its connection is lost, and reports whether it is.
func (p *probe) endIfLost() bool {
	lost := p.late && (p.isUnacknowledged(probeLost) || p.isUnconnected(probeLost))
	if lost {
		p.abort()
	}
	return lost
}

// enter counts somebody in who uses the tunnel's session. It reports false if the tunnel
// is not bound any more.
func (t *Tunnel) enter() bool {
	t.endpoint.mu.Lock()
	defer t.endpoint.mu.Unlock()
	if t.endpoint.tunnel != t {
		return false
	}
	t.users.Add(1)
	return true
}
