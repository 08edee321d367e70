package server_test

import (
	"context"
	"net"
	"net/netip"
	"sync"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/wire"
)

// fakeProtocol is a protocol of which the test is the other half.
type fakeProtocol struct {
	tunnels chan *fakeTunnel
	claims  chan claim
}

// verbs are those that the fake protocol goes by.
var verbs = []wire.Verb{{Name: "multiplex"}, {Name: "pool", Claims: true}, {Name: "event", Claims: true}}

// named is a protocol that goes by a verb.
type named struct {
	protocol.Relay
	verb wire.Verb
}

func (n named) Verb() wire.Verb { return n.verb }

// under returns the protocol under each of the verbs.
func under(verbs []wire.Verb, p protocol.Relay) (all []protocol.Relay) {
	for _, verb := range verbs {
		all = append(all, named{p, verb})
	}
	return all
}

// use has the relay use another protocol under the verb with this name.
func use(c *server.Config, name string, p protocol.Relay) {
	for i, of := range c.Protocols {
		if verb := of.Verb(); verb.Name == name {
			c.Protocols[i] = named{p, verb}
		}
	}
}

// fakeIn returns the fake protocol of a configuration that start has made.
func fakeIn(c *server.Config) *fakeProtocol { return c.Protocols[0].(named).Relay.(*fakeProtocol) }

// claim is a data connection that the server handed over.
type claim struct {
	conn  conn.Conn
	owner string
	id    string
}

func newFakeProtocol() *fakeProtocol {
	return &fakeProtocol{tunnels: make(chan *fakeTunnel, 100), claims: make(chan claim, 100)}
}

func (f *fakeProtocol) Verb() wire.Verb { return wire.Verb{} } // named has it

func (f *fakeProtocol) Register(conn conn.Conn, g protocol.Grant) (protocol.Session, error) {
	if err := wire.WriteAnswer(conn, g.Answer, ""); err != nil {
		_ = conn.Reset()
		return nil, err
	}
	t := &fakeTunnel{
		conn: conn, port: g.Answer.Port, grant: g,
		opens: make(chan *opening), closed: make(chan struct{}),
	}
	t.ended, t.stop = context.WithCancelCause(context.Background())
	t.close = sync.OnceFunc(func() { close(t.closed) })
	f.tunnels <- t
	return t, nil
}

func (f *fakeProtocol) Claim(conn conn.Conn, owner, id string) error {
	f.claims <- claim{conn, owner, id}
	return nil
}

// fakeTunnel asks the test for a connection for each user.
type fakeTunnel struct {
	conn   conn.Conn
	port   int
	grant  protocol.Grant
	opens  chan *opening
	ended  context.Context // done when it takes no more users
	stop   context.CancelCauseFunc
	closed chan struct{} // closed by Close
	close  func()
}

// opening is a user who waits for a connection.
type opening struct {
	ctx    context.Context
	answer chan opened
}

type opened struct {
	conn conn.Conn
	err  error
}

func (t *fakeTunnel) Open(ctx context.Context, _ netip.AddrPort) (conn.Conn, error) {
	o := &opening{ctx, make(chan opened, 1)}
	for opens := t.opens; ; {
		select {
		case opens <- o:
			opens = nil
		case a := <-o.answer:
			return a.conn, a.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-t.ended.Done():
			return nil, protocol.ErrTunnelEnded
		}
	}
}

// end is the relay client going away.
func (t *fakeTunnel) end() { t.stop(protocol.ErrTunnelEnded) }

func (t *fakeTunnel) Ended() context.Context { return t.ended }

func (t *fakeTunnel) StopAccepting() { t.end() }

func (t *fakeTunnel) Close() error {
	t.end()
	t.close()
	_ = t.conn.Close()
	return nil
}

func (t *fakeTunnel) Drain() { _ = t.Close() }

// fakeListener accepts what the test says.
type fakeListener struct {
	results chan result
	closed  chan struct{}
	close   func()
}

type result struct {
	conn conn.Conn
	err  error
}

func newFakeListener() *fakeListener {
	l := &fakeListener{results: make(chan result, 100), closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.closed) })
	return l
}

func (l *fakeListener) Accept() (conn.Conn, error) {
	select {
	case r := <-l.results:
		return r.conn, r.err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *fakeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080} }

func (l *fakeListener) Close() error {
	l.close()
	return nil
}

// slowProtocol waits for the test before it takes anybody.
type slowProtocol struct {
	*fakeProtocol
	asked   chan protocol.Grant
	proceed chan struct{}
}

func (p slowProtocol) Register(conn conn.Conn, g protocol.Grant) (protocol.Session, error) {
	p.asked <- g
	<-p.proceed
	return p.fakeProtocol.Register(conn, g)
}

// brokenProtocol takes nobody.
type brokenProtocol struct{}

func (brokenProtocol) Verb() wire.Verb { return wire.Verb{} } // named has it

func (brokenProtocol) Register(conn conn.Conn, _ protocol.Grant) (protocol.Session, error) {
	_ = conn.Reset()
	return nil, protocol.ErrTunnelEnded
}

func (brokenProtocol) Claim(conn conn.Conn, _, _ string) error {
	_ = conn.Reset()
	return protocol.ErrUnknownID
}
