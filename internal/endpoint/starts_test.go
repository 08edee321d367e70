package endpoint_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
)

// starter is a session that has no connection for anybody until the test has one.
type starter struct {
	ended context.Context
	end   context.CancelCauseFunc
	// starting is called by Start before it returns.
	starting func()
	opened   func(conn.Conn) // of the last Start
}

func newStarter() *starter {
	s := &starter{starting: func() {}}
	s.ended, s.end = context.WithCancelCause(context.Background())
	return s
}

func (s *starter) Start(opened func(conn.Conn)) (protocol.Opening, error) {
	o := &startedOpening{session: s}
	o.Init(opened)
	s.opened = o.Deliver
	s.starting()
	return o, nil
}

func (s *starter) Open(ctx context.Context, _ netip.AddrPort) (conn.Conn, error) {
	o := &startedOpening{session: s}
	o.Init(nil)
	return o.Wait(ctx)
}

func (s *starter) Ended() context.Context { return s.ended }

func (s *starter) Close() error {
	s.end(net.ErrClosed)
	return nil
}

// startedOpening is a user who waits for a connection of a starter.
type startedOpening struct {
	protocol.Handover
	session *starter
}

func (o *startedOpening) Wait(ctx context.Context) (conn.Conn, error) {
	select {
	case c := <-o.Next():
		return c, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-o.session.ended.Done():
		return nil, protocol.ErrTunnelEnded
	}
}

// discard is a Sink.
type discard struct{}

func (discard) Observe(observe.Event) {}

// port is an endpoint of a group, with simulated time.
type port struct {
	*testing.T
	group     *endpoint.Group
	admission *admission.Controller
	endpoint  *endpoint.Endpoint
}

// withPort runs f with an endpoint in simulated time, and then ends it.
func withPort(t *testing.T, f func(*port)) {
	t.Helper()
	withProbedPort(t, 0, discard{}, f)
}

// withProbedPort is withPort, with probes so often, and a sink.
func withProbedPort(t *testing.T, every time.Duration, events observe.Sink, f func(*port)) {
	t.Helper()
	withPortOf(t, endpoint.Config{Events: events, Waiting: 1, Probe: every}, f)
}

// withPortOf is withPort for a group of endpoints with that configuration, which need not be
// complete.
func withPortOf(t *testing.T, config endpoint.Config, f func(*port)) {
	t.Helper()
	engine, err := join.NewEngine() // whose loops do not know simulated time
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		limits := admission.Limits{}.WithDefaults()
		p := &port{T: t, admission: admission.NewController(limits, nil, discard{})}
		config.Engine, config.Admission, config.UserWait = engine, p.admission, time.Minute
		p.group = endpoint.NewGroup(config)
		p.endpoint = p.group.New(endpoint.Place{
			Port: 20001, Account: p.admission.Accounts.Open("a", 20001, func() {}), Owner: "a", Free: func(string, error) {},
		})
		defer p.admission.Close()
		defer p.group.Close()
		f(p)
	})
}

// bind has a session serve the port.
func (p *port) bind(s protocol.Session) {
	p.Helper()
	if err := p.endpoint.Bind(endpoint.Client{Session: s, Protocol: "event", Addr: new(net.TCPAddr)}); err != nil {
		p.Fatal(err)
	}
}

// user has a user come, and returns its end.
func (p *port) user() *conntest.MemoryConn {
	p.Helper()
	near, far := conntest.Memory()
	if wait := p.endpoint.Serve(near, nil); wait != nil {
		p.Fatal("there is no place for the user")
	}
	return far
}

// Users who wait see at once that their tunnel has ended, whenever that is.
func TestTunnelEndsUnderUserWhoWaits(t *testing.T) {
	for name, during := range map[string]bool{"while Start runs": true, "after Start": false} {
		t.Run(name, func(t *testing.T) {
			withPort(t, func(p *port) {
				s := newStarter()
				end := func() {
					s.end(protocol.ErrTunnelEnded)
					synctest.Wait()
				}
				p.bind(s)
				if during {
					s.starting = end
				}
				since := time.Now()
				u := p.user()
				if !during {
					end()
				}
				conntest.WantReset(p.T, u)
				if late := time.Since(since); late != 0 {
					p.Errorf("the user sees it %v late", late)
				}
			})
		})
	}
}

// The end of a tunnel is nothing to users who wait for another one.
func TestOtherTunnelEnds(t *testing.T) {
	withPort(t, func(p *port) {
		s, other := newStarter(), newStarter()
		p.bind(s)
		u := p.user()
		p.endpoint = p.group.New(endpoint.Place{
			Port: 20002, Account: p.admission.Accounts.Open("b", 20002, func() {}), Owner: "b", Free: func(string, error) {},
		})
		p.bind(other)
		other.end(protocol.ErrTunnelEnded)
		synctest.Wait()
		near, far := conntest.Memory()
		s.opened(near)
		go conntest.Write(p.T, u, "hello")
		conntest.WantRead(p.T, far, "hello")
		_, _ = u.Reset(), far.Reset()
	})
}

// A panic in Start costs the user its connection, and nobody its place.
func TestStartPanics(t *testing.T) {
	withPort(t, func(p *port) {
		s := newStarter()
		p.bind(s)
		for n := range int64(2) { // of whom one at a time may wait
			s.starting = func() { panic(errors.New("broken")) }
			conntest.WantReset(p.T, p.user())
			if got := p.admission.Counters.Of(admission.Panics); got != n+1 {
				p.Errorf("%d panics are counted, want %d", got, n+1)
			}
		}
		if n := p.group.Usage().Waiting; n != 0 {
			p.Errorf("%d users wait, want none", n)
		}
	})
}
