package sshd

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/front"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/policy"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/tcpstate"
	"github.com/seed96252745/relay/internal/wire"
)

// forwardKey is by what a client knows a forward: the string and the port that it has asked
// for, or in place of the port 0 the one that it was told. Channels name both, byte for byte,
// or clients refuse them.
//
// It is the payload of tcpip-forward (RFC 4254, section 7.1), too.
type forwardKey struct {
	Bind string
	Port uint32
}

// forward is one tunnel of a connection.
type forward struct {
	connection *connection
	key        forwardKey
	lease      string
	name       string
	since      time.Time
	users      atomic.Int64 // that are joined
	port       int          // public
	ready      time.Time    // from when on channels are opened
	ended      context.Context
	cancel     context.CancelCauseFunc
	// stopped is done when no channel is opened any more that the client has been asked for:
	// not when it has taken the forward back, as it may have accepted one by then.
	stopped context.Context
	stop    context.CancelFunc
}

var (
	_ protocol.Drainer = (*forward)(nil)
	_ protocol.Timed   = (*forward)(nil)
)

// forwardReply is the payload of the answer to one that has asked for port 0.
type forwardReply struct{ Port uint32 }

// forwardedChannel is the payload of a forwarded-tcpip channel (RFC 4254, section 7.2).
type forwardedChannel struct {
	Bind           string
	Port           uint32
	Originator     string
	OriginatorPort uint32
}

var (
	errTooFast      = errors.New("this connection asks for forwards too fast")
	errForwardTwice = errors.New("this connection has that forward already")
	errTooMany      = fmt.Errorf("a connection has %d forwards at most", maxForwards)
)

// startForward registers a forward, and answers its request.
func (c *connection) startForward(r *ssh.Request) {
	var asked forwardKey
	if err := ssh.Unmarshal(r.Payload, &asked); err != nil {
		reply(r, false, nil)
		return
	}
	f := &forward{connection: c, key: asked}
	f.ended, f.cancel = context.WithCancelCause(context.Background())
	f.stopped, f.stop = context.WithCancel(context.Background())
	if err := c.register(f, r); err != nil {
		f.end(err)
		c.front.holders.release(f.lease, c)
		if f.port == 0 { // or it was answered before the endpoint had closed
			reply(r, false, nil)
		}
		c.refuse(err)
	}
}

func (c *connection) register(f *forward, r *ssh.Request) error {
	if err := c.mayAdd(f.key); err != nil {
		return err
	}
	wish := c.who.wish.Preamble
	if name, ok := nameOf(f.key.Bind); ok {
		wish.Name = name
	}
	f.name = cmp.Or(wish.Group, wish.Name)
	wish.Port = int(f.key.Port)
	if f.lease = c.takeLease(f.key); f.lease != "" {
		wish.Lease, wish.Instance = f.lease, rand.Text()
	}
	return c.arrival.Register(front.Registration{
		Protocol: Protocol, Identity: c.who.Identity, Wish: wish,
		Start: func(a wire.Answer) (protocol.Session, error) { return f, c.grant(f, r, a) },
	})
}

// mayAdd returns why a connection may not have another forward, or nil.
func (c *connection) mayAdd(k forwardKey) error {
	if c.who.wrong != nil {
		return c.who.wrong
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.refusal != nil:
		return c.refusal // the connection is about to end
	case !c.asks.Allow():
		return errTooFast
	case len(c.forwards) >= maxForwards:
		return errTooMany
	case k.Port != 0 && c.forwards[k] != nil:
		return errForwardTwice
	}
	return nil
}

// nameOf returns the name that a bind string asks for. Those that a machine has for its own
// addresses ask for none: localhost is what ssh -R 0:localhost:80 sends.
func nameOf(bind string) (name string, ok bool) {
	_, notIP := netip.ParseAddr(strings.Trim(bind, "[]"))
	return bind, bind != "" && bind != "*" && bind != "localhost" && notIP != nil && policy.CheckName(bind) == nil
}

// settleAfter is how long a client has to note that it has the forward: several refuse a channel
// that comes right behind the answer.
const settleAfter = 250 * time.Millisecond

// grant tells the client of its port. The port is in the answer if, and only if, it has asked
// for any.
func (c *connection) grant(f *forward, r *ssh.Request, a wire.Answer) error {
	if !c.identified() {
		return errConnectionEnded
	}
	f.port, f.since = a.Port, time.Now()
	var payload []byte
	if f.key.Port == 0 {
		f.key.Port = uint32(a.Port)
		payload = ssh.Marshal(forwardReply{f.key.Port})
	}
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return errConnectionEnded
	}
	c.forwards[f.key] = f
	c.mu.Unlock()
	c.front.clients.serve(f)
	reply(r, true, payload)
	f.ready = time.Now().Add(settleAfter)
	c.announce(f)
	return nil
}

// cancelForward ends a forward that the client wants no more. Its users go on.
func (c *connection) cancelForward(r *ssh.Request) {
	var asked forwardKey
	if err := ssh.Unmarshal(r.Payload, &asked); err != nil {
		reply(r, false, nil)
		return
	}
	c.mu.Lock()
	f := c.forwards[asked]
	delete(c.forwards, asked)
	c.mu.Unlock()
	if f != nil {
		c.front.holders.release(f.lease, c)
		c.front.clients.stop(f)
		f.cancel(protocol.ErrLeft)
	}
	c.endIfIdle()
	reply(r, f != nil, nil)
}

// Ended returns a context that is done when the forward takes no more users.
func (f *forward) Ended() context.Context { return f.ended }

// StopAccepting has the forward take no more users.
func (f *forward) StopAccepting() { f.end(net.ErrClosed) }

// end ends the forward for a reason, but for channels that are open.
func (f *forward) end(reason error) {
	f.cancel(reason)
	f.stop()
}

// RoundTrip returns the round trip of the connection.
func (f *forward) RoundTrip() time.Duration { return tcpstate.RoundTrip(f.connection.below) }

// Drain ends the forward, whose users have gone. The connection goes when those of its other
// forwards have gone, too.
func (f *forward) Drain() {
	f.end(net.ErrClosed)
	c := f.connection
	c.mu.Lock()
	current := c.forwards[f.key] == f
	c.mu.Unlock()
	if current {
		c.endWhenIdle()
	}
}

// Close ends the forward, and with it the connection, since no client can be told that it has
// one forward less. One that the client has canceled is none of the connection's any more.
func (f *forward) Close() error {
	f.end(net.ErrClosed)
	c := f.connection
	c.mu.Lock()
	current := c.forwards[f.key] == f
	c.mu.Unlock()
	if current {
		c.end()
	}
	return nil
}

// Open opens a channel for a user.
func (f *forward) Open(ctx context.Context, user netip.AddrPort) (conn.Conn, error) {
	if err := f.settle(ctx); err != nil {
		return nil, err
	}
	full := false
	for _, pause := range [...]time.Duration{0, 50 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond} {
		if err := f.wait(ctx, pause); err != nil {
			return nil, err
		}
		c, err := f.openChannel(ctx, user)
		var refused *ssh.OpenChannelError
		if !errors.As(err, &refused) {
			return c, err
		}
		again := f.mayBeEarly(refused)
		if refused.Reason == ssh.ResourceShortage { // libssh2 has a queue of 10
			again, full = !full, true
		}
		if !again {
			return nil, observe.WithReason(fmt.Errorf("the SSH client has refused the user: %w", err), observe.DialFailed)
		}
	}
	return nil, observe.WithReason(errors.New("the SSH client refuses all users"), observe.DialFailed)
}

// settle waits until the client may have noted the forward.
func (f *forward) settle(ctx context.Context) error {
	return f.wait(ctx, time.Until(f.ready))
}

// wait waits for as long as the forward takes users.
func (f *forward) wait(ctx context.Context, pause time.Duration) error {
	if f.ended.Err() != nil {
		return protocol.ErrTunnelEnded
	}
	if pause <= 0 {
		return nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-f.ended.Done():
		return protocol.ErrTunnelEnded
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// mayBeEarly reports whether a refusal may come of a forward that the client has yet to note.
func (f *forward) mayBeEarly(e *ssh.OpenChannelError) bool {
	const early = 2 * time.Second
	return (e.Reason == ssh.Prohibited || e.Reason == ssh.ConnectionFailed) && time.Since(f.ready) < early
}

// openChannel opens a channel, or gives up when ctx is done: a client that is stopped never
// answers.
func (f *forward) openChannel(ctx context.Context, user netip.AddrPort) (conn.Conn, error) {
	type result struct {
		conn *channel
		err  error
	}
	c := f.connection
	opened, abandoned := make(chan result), make(chan struct{})
	defer close(abandoned)
	select {
	case c.opening <- struct{}{}:
	case <-f.ended.Done():
		return nil, protocol.ErrTunnelEnded
	case <-ctx.Done():
		return nil, protocol.ErrNotAcknowledged
	}
	payload := ssh.Marshal(forwardedChannel{f.key.Bind, f.key.Port, user.Addr().String(), uint32(user.Port())})
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		<-c.opening
		return nil, protocol.ErrTunnelEnded
	}
	c.running.Go(func() {
		defer func() { <-c.opening }()
		ch, requests, err := c.ssh.OpenChannel("forwarded-tcpip", payload)
		r := result{err: err}
		if err == nil {
			r.conn = newChannel(f, ch, requests)
		}
		select {
		case opened <- r:
		case <-abandoned:
			if r.conn != nil {
				_ = r.conn.Reset()
			}
		}
	})
	c.mu.Unlock()
	select {
	case r := <-opened:
		switch {
		case r.err == nil:
			return r.conn, nil
		case errors.As(r.err, new(*ssh.OpenChannelError)):
			return nil, r.err
		}
		return nil, protocol.ErrTunnelEnded
	case <-f.stopped.Done(): // another client may have taken over from one that does not answer
		return nil, protocol.ErrTunnelEnded
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
