package conformance_test

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/wire"
)

// inProcess is a protocol that nothing but this suite knows, and all that a protocol has
// to be. Relay and relay client are in one process. For each user the relay makes a
// connection over loopback, and hands the other end over through memory.
type inProcess struct {
	*testing.T
	mu    sync.Mutex // guards what follows
	users map[string]chan conn.Conn
}

var inProcessVerb = wire.Verb{Name: "inprocess"}

// usersOf returns the channel for the far ends of a tunnel's users.
func (p *inProcess) usersOf(id string) chan conn.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users[id] == nil {
		p.users[id] = make(chan conn.Conn)
	}
	return p.users[id]
}

// control is either end of a control connection, which carries nothing.
type control struct {
	conn    conn.Conn
	users   chan conn.Conn
	ended   context.Context
	end     context.CancelCauseFunc
	reading sync.WaitGroup
}

func (p *inProcess) newControl(conn conn.Conn, id string) *control {
	c := &control{conn: conn, users: p.usersOf(id)}
	c.ended, c.end = context.WithCancelCause(context.Background())
	c.reading.Go(func() {
		_, err := conn.Read(make([]byte, 1))
		c.end(err)
	})
	return c
}

func (c *control) Ended() context.Context { return c.ended }

func (c *control) Close() error {
	c.end(net.ErrClosed)
	_ = c.conn.Close()
	c.reading.Wait()
	return nil
}

// inProcessRelay is the relay's half.
type inProcessRelay struct{ *inProcess }

func (inProcessRelay) Verb() wire.Verb { return inProcessVerb }

func (r inProcessRelay) Register(conn conn.Conn, g protocol.Grant) (protocol.Session, error) {
	id := wire.NewID()
	if err := wire.WriteAnswer(conn, g.Answer, id); err != nil {
		_ = conn.Reset()
		return nil, err
	}
	return inProcessSession{r.newControl(conn, id), r.T}, nil
}

func (inProcessRelay) Claim(conn conn.Conn, _, _ string) error {
	_ = conn.Reset()
	return protocol.ErrNoClaims
}

type inProcessSession struct {
	*control
	t *testing.T
}

func (s inProcessSession) Open(ctx context.Context, _ netip.AddrPort) (conn.Conn, error) {
	near, far := conntest.Pair(s.t)
	select {
	case s.users <- far:
		return near, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-s.ended.Done():
		return nil, protocol.ErrTunnelEnded
	}
}

// inProcessClient is the relay client's half.
type inProcessClient struct{ *inProcess }

func (inProcessClient) Verb() wire.Verb { return inProcessVerb }

func (c inProcessClient) Register(ctx context.Context, dial protocol.Dialer, p protocol.Preamble) (protocol.Registration, error) {
	var answer wire.Answer
	var id string
	conn, err := protocol.RoundTrip(ctx, dial, wire.Request{Options: p.Registration, Verb: inProcessVerb}, func(r *wire.Reader) (err error) {
		if answer, err = wire.ReadAnswer(r); err == nil {
			id, err = wire.ReadID(r)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return inProcessRegistration{c.newControl(conn, id), answer}, nil
}

type inProcessRegistration struct {
	*control
	answer wire.Answer
}

func (r inProcessRegistration) Answer() wire.Answer { return r.answer }

func (r inProcessRegistration) Serve(accepted protocol.Acceptor) error {
	for {
		select {
		case user := <-r.users:
			accepted(r.ended, user)
		case <-r.ended.Done():
			return context.Cause(r.ended)
		}
	}
}

func (inProcessRegistration) Wait(context.Context) {}

// forwardInProcess runs a relay that has the protocol, and the least of a forwarder,
// until the test ends.
func forwardInProcess(t *testing.T, local string) *tunnel {
	p := &inProcess{T: t, users: make(map[string]chan conn.Conn)}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := server.New(server.Config{
		Protocols: []protocol.Relay{inProcessRelay{p}},
		Ports:     port.Range{First: 20000, Last: 29999},
		Listen: func(port int) (conn.Listener, error) {
			return transport.ListenUsers(net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		},
		Logger: log,
	})
	must(t, err)
	l, err := transport.ListenRelayClients("127.0.0.1:0")
	must(t, err)
	engine, err := join.NewEngine()
	must(t, err)
	set := engine.NewSet(nil)
	server, err := transport.ParseLocalAddr(local)
	must(t, err)
	var running sync.WaitGroup
	running.Go(func() { _ = s.Serve(l) }) // its error says only that it was closed
	registration, err := inProcessClient{p}.Register(t.Context(), func(ctx context.Context) (conn.Conn, error) {
		return transport.DialRelay(ctx, l.Addr().String())
	}, protocol.Preamble{})
	must(t, err)
	running.Go(func() {
		_ = registration.Serve(func(ctx context.Context, user conn.Conn) {
			conn, wait := server.Start(nil)
			if conn == nil {
				var err error
				if conn, err = wait(ctx); err != nil {
					_ = user.Reset()
					return
				}
			}
			set.Join(context.Background(), user, conn, join.Options{}, func(join.Result) {})
		})
	})
	t.Cleanup(func() {
		_ = registration.Close()
		s.Close()
		engine.Close()
		running.Wait()
	})
	return &tunnel{public: net.JoinHostPort("127.0.0.1", strconv.Itoa(registration.Answer().Port))}
}
