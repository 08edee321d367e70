package endpoint_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/proxyproto"
)

// interval is how often the tests probe.
const interval = 15 * time.Second

// probed is a session whose relay client is the test.
type probed struct {
	ending *starter // of which only the end is used
	asked  chan *conntest.MemoryConn
	full   atomic.Bool // Open fails
	// unreachable is what Unreachable returns.
	unreachable atomic.Bool
}

func newProbed() *probed {
	return &probed{ending: newStarter(), asked: make(chan *conntest.MemoryConn, 100)}
}

func (s *probed) Open(ctx context.Context, _ netip.AddrPort) (conn.Conn, error) {
	if s.full.Load() {
		return nil, protocol.ErrNoStream
	}
	near, far := conntest.Memory()
	select {
	case s.asked <- far:
		return near, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (s *probed) Ended() context.Context { return s.ending.Ended() }

func (s *probed) Close() error { return s.ending.Close() }

func (s *probed) Unreachable(time.Duration) bool { return s.unreachable.Load() }

// states notes the changes of a tunnel's state.
type states struct {
	mu  sync.Mutex
	all []string
}

func (s *states) Observe(e observe.Event) {
	if e.Name != observe.TunnelStateChanged {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	change := fmt.Sprintf("%s>%s", e.From, e.To)
	if e.Err != nil {
		change += " " + e.Err.Error()
	}
	s.all = append(s.all, change)
}

func (s *states) want(t *testing.T, want ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.all, want) {
		t.Errorf("the states were %q, want %q", s.all, want)
	}
}

// probing is a port that is probed.
type probing struct {
	*port
	session *probed
	states  *states
	began   time.Time
}

func withProbing(t *testing.T, f func(p *probing)) {
	t.Helper()
	seen := new(states)
	withProbedPort(t, interval, seen, func(p *port) {
		s := &probing{port: p, session: newProbed(), states: seen, began: time.Now()}
		s.serve(s.session)
		f(s)
	})
}

// serve has a relay client that answers probes serve the port.
func (p *probing) serve(s protocol.Session) {
	p.Helper()
	if err := p.endpoint.Bind(endpoint.Client{Session: s, Protocol: "event", Addr: new(net.TCPAddr), Proxy: true, Probe: true}); err != nil {
		p.Fatal(err)
	}
}

// next returns the next probe, whose header has been read, and when it came.
func (p *probing) next() (*conntest.MemoryConn, time.Duration) {
	p.Helper()
	var c *conntest.MemoryConn
	select {
	case c = <-p.session.asked:
	case <-time.After(time.Hour):
		p.Fatal("there is no probe")
	}
	at := time.Since(p.began)
	if _, _, details, err := proxyproto.ReadDetails(c); err != nil || !details.Probe {
		p.Fatalf("a probe begins with %+v, %v", details, err)
	}
	return c, at
}

// answer answers the next probe, which has to come at a time.
func (p *probing) answer(at time.Duration, line string) {
	p.Helper()
	c, came := p.next()
	if came != at {
		p.Errorf("the probe comes after %v, want %v", came, at)
	}
	p.say(c, line)
}

func (p *probing) say(c *conntest.MemoryConn, line string) {
	p.Helper()
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		p.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, c) // until the relay ends it
	_ = c.Close()
	synctest.Wait()
}

// none waits, and fails if there is a probe.
func (p *probing) none(d time.Duration) {
	p.Helper()
	select {
	case <-p.session.asked:
		p.Errorf("there is a probe after %v", time.Since(p.began))
	case <-time.After(d):
	}
}

func (p *probing) want(state observe.State) endpoint.Health {
	p.Helper()
	h := p.endpoint.Snapshot().Health
	if h.State != state {
		p.Errorf("after %v the state is %q, want %q", time.Since(p.began), h.State, state)
	}
	return h
}

// A tunnel is probed as soon as it is there, and then at an interval. When its local server
// does not accept the next probes come sooner.
func TestProbeTimes(t *testing.T) {
	withProbing(t, func(p *probing) {
		p.want(observe.Unknown)
		p.answer(0, "ok 1500")
		if h := p.want(observe.Up); h.Probe.Dial != 1500*time.Microsecond || !h.Since.Equal(p.began) {
			p.Errorf("got %+v, %+v", h, h.Probe)
		}
		p.answer(interval, "ok")
		p.answer(2*interval, "failed refused")
		down := p.want(observe.LocalServerDown)
		if down.Failure != "connection refused" || !down.Since.Equal(p.began.Add(2*interval)) {
			p.Errorf("got %+v", down)
		}
		at := 2 * interval
		for _, pause := range []time.Duration{1, 2, 4, 5, 5} {
			at += pause * time.Second
			p.answer(at, "failed timed-out")
		}
		if h := p.want(observe.LocalServerDown); !h.Since.Equal(down.Since) || h.Failure != "connection timed out" {
			p.Errorf("got %+v, want that it is down since %v", h, down.Since)
		}
		at += 5 * time.Second
		p.answer(at, "ok")
		p.want(observe.Up)
		p.answer(at+interval, "ok")
		p.states.want(t, "unknown>up", "up>local_server_down connection refused", "local_server_down>local_server_down connection timed out",
			"local_server_down>up")
	})
}

// A relay client that does not answer is silent after 4 seconds, and has two probes open,
// however long that lasts. The answer to either shows that it is back.
func TestSilentRelayClient(t *testing.T) {
	withProbing(t, func(p *probing) {
		p.answer(0, "ok")
		first, _ := p.next()
		<-time.After(4*time.Second - time.Nanosecond)
		p.want(observe.Up)
		<-time.After(time.Nanosecond)
		synctest.Wait()
		p.want(observe.Silent)
		second, came := p.next()
		if came != interval+5*time.Second {
			p.Errorf("the second comes after %v", came)
		}
		p.none(24 * time.Hour)
		p.say(first, "ok")
		p.want(observe.Up)
		third, _ := p.next()
		p.say(third, "ok")
		if _, err := second.Read(make([]byte, 1)); err == nil {
			p.Error("a probe that is older than an answer goes on")
		}
		p.states.want(t, "unknown>up", "up>relay_client_silent", "relay_client_silent>up")
	})
}

// Whether the machine of a relay client answers is asked again and again.
func TestUnreachableRelayClient(t *testing.T) {
	withProbing(t, func(p *probing) {
		p.session.unreachable.Store(true)
		p.next()
		<-time.After(4 * time.Second)
		synctest.Wait()
		p.want(observe.Unknown) // until a second one has no answer, either
		p.next()
		<-time.After(4 * time.Second)
		synctest.Wait()
		p.want(observe.Unreachable)
		p.session.unreachable.Store(false)
		<-time.After(10 * time.Second)
		synctest.Wait()
		p.want(observe.Silent)
	})
}

// One connection that breaks may be an accident, and two in a row are none.
func TestProbesThatBreak(t *testing.T) {
	withProbing(t, func(p *probing) {
		p.answer(0, "ok")
		for _, want := range []observe.State{observe.Up, observe.Silent} {
			c, _ := p.next()
			_ = c.Reset()
			synctest.Wait()
			p.want(want)
		}
		c, _ := p.next()
		_, _ = io.WriteString(c, "\x1b[2J\n") // of which the relay reads one byte
		synctest.Wait()
		p.want(observe.Silent)
		c, _ = p.next()
		p.say(c, "ok")
		p.want(observe.Up)
	})
}

// A relay client may lose what it was asked for, as when it is short of descriptors. That it
// is back is seen nevertheless.
func TestProbesThatAreNeverClaimed(t *testing.T) {
	seen := new(states)
	withProbedPort(t, interval, seen, func(p *port) {
		s := newStarter()
		claimed, asked := make(chan *conntest.MemoryConn), 0
		s.starting = func() {
			if asked++; asked <= 2 {
				return
			}
			near, far := conntest.Memory()
			s.opened(near)
			claimed <- far
		}
		if err := p.endpoint.Bind(endpoint.Client{Session: s, Protocol: "event", Addr: new(net.TCPAddr), Proxy: true, Probe: true}); err != nil {
			p.Fatal(err)
		}
		var far *conntest.MemoryConn
		select {
		case far = <-claimed:
		case <-time.After(time.Hour):
			p.Fatalf("there is no probe after the %d that were lost", asked)
		}
		if _, _, details, err := proxyproto.ReadDetails(far); err != nil || !details.Probe {
			p.Fatalf("a probe begins with %+v, %v", details, err)
		}
		if _, err := io.WriteString(far, "ok\n"); err != nil {
			p.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, far) // until the relay ends it
		_ = far.Close()
		synctest.Wait()
		seen.want(p.T, "unknown>relay_client_silent", "relay_client_silent>up")
	})
}

// A session that is full says nothing about its relay client.
func TestProbeOfFullSession(t *testing.T) {
	withProbing(t, func(p *probing) {
		p.answer(0, "ok")
		p.session.full.Store(true)
		p.none(time.Minute)
		p.want(observe.Up)
	})
}

// Probes have no number among the users: the first user is the first.
func TestProbesAreNotNumbered(t *testing.T) {
	withProbing(t, func(p *probing) {
		p.answer(0, "ok")
		p.answer(interval, "ok")
		addr := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1000}
		user, u := conntest.Memory()
		if wait := p.endpoint.Serve(proxyproto.NewConn(user, addr, addr), nil); wait != nil {
			p.Fatal("there is no place for the user")
		}
		far := <-p.session.asked
		_, _, details, err := proxyproto.ReadDetails(far)
		if want := (proxyproto.Sequence{Number: 1}); err != nil || details.Sequence != want || details.Probe {
			p.Errorf("the user comes with %+v, %v", details, err)
		}
		_, _ = u.Reset(), far.Reset()
	})
}

// Probes end with their tunnel: nobody waits for an answer.
func TestProbesEnd(t *testing.T) {
	for name, end := range map[string]func(p *probing){
		"taken over": func(p *probing) { p.serve(newProbed()) },
		"lost":       func(p *probing) { p.session.ending.end(protocol.ErrTunnelEnded) },
	} {
		t.Run(name, func(t *testing.T) {
			withProbing(t, func(p *probing) {
				c, _ := p.next()
				end(p)
				conntest.WantReset(p.T, c)
				p.none(time.Hour)
			})
		})
	}
}

// Tunnels that come at the same moment are probed one after the other, and stay apart.
func TestProbesAreSpread(t *testing.T) {
	const tunnels, most = 1000, 30 // of them within a tenth of a second
	withProbing(t, func(p *probing) {
		p.answer(0, "ok")
		asked := make(chan *conntest.MemoryConn, tunnels)
		for i := range tunnels {
			owner := strconv.Itoa(i)
			p.endpoint = p.group.New(endpoint.Place{
				Port: 30000 + i, Account: p.admission.Accounts.Open(owner, 30000+i, func() {}), Owner: owner, Free: func(string, error) {},
			})
			s := newProbed()
			s.asked = asked
			p.serve(s)
		}
		p.session.asked = asked
		perSlice := make(map[time.Duration]int)
		for range 3 * tunnels {
			c, at := p.next()
			p.say(c, "ok")
			perSlice[at/(100*time.Millisecond)]++
		}
		for slice, n := range perSlice {
			if n > most {
				p.Errorf("%d probes begin within a tenth of a second, %v after the beginning", n, slice*100*time.Millisecond)
			}
		}
		if took := time.Since(p.began); took < 2*interval || took > 3*interval {
			p.Errorf("three probes of each take %v", took)
		}
	})
}
