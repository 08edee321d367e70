package endpoint_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/policy"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/proxyproto"
)

// reasons notes why users are reset.
type reasons struct {
	states
	mu    sync.Mutex
	reset []observe.Reason
}

func (r *reasons) Observe(e observe.Event) {
	r.states.Observe(e)
	if e.Name == observe.UserReset {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.reset = append(r.reset, e.Reason)
	}
}

// controlled is a port whose relay client, the test, has a control channel and answers no
// probes.
type controlled struct {
	*port
	session *probed
	seen    *reasons
	began   time.Time
}

func withControl(t *testing.T, down bool, f func(p *controlled)) {
	t.Helper()
	seen := new(reasons)
	withProbedPort(t, 0, seen, func(p *port) {
		c := &controlled{port: p, session: newProbed(), seen: seen, began: time.Now()}
		if err := p.endpoint.Bind(endpoint.Client{
			Session: c.session, Protocol: "event", Addr: new(net.TCPAddr), Proxy: true, Control: true, Down: down,
		}); err != nil {
			p.Fatal(err)
		}
		f(c)
	})
}

// next returns the next connection, whose header has been read, and whether it is the
// channel's.
func (p *controlled) next() (c *conntest.MemoryConn, channel bool) {
	p.Helper()
	select {
	case c = <-p.session.asked:
	case <-time.After(time.Hour):
		p.Fatal("nobody is connected")
	}
	_, _, details, err := proxyproto.ReadDetails(c)
	if err != nil {
		p.Fatal(err)
	}
	return c, details.Control
}

// channel returns the control channel, which has to come at a time.
func (p *controlled) channel(at time.Duration) *conntest.MemoryConn {
	p.Helper()
	c, channel := p.next()
	if !channel {
		p.Fatal("a user comes, and no channel")
	}
	if came := time.Since(p.began); came != at {
		p.Errorf("the channel comes after %v, want %v", came, at)
	}
	return c
}

func (p *controlled) say(c *conntest.MemoryConn, lines string) {
	p.Helper()
	if _, err := io.WriteString(c, lines); err != nil {
		p.Fatal(err)
	}
	synctest.Wait()
}

func (p *controlled) wantDown(want bool) {
	p.Helper()
	if err := p.endpoint.Tunnels()[0].Down(); (err != nil) != want {
		p.Errorf("down: %v, want %v", err, want)
	}
}

func (p *controlled) wantState(want observe.State, failure string) {
	p.Helper()
	if got := p.endpoint.Snapshot().Health; got.State != want || got.Failure != failure {
		p.Errorf("the state is %s %q, want %s %q", got.State, got.Failure, want, failure)
	}
}

// While its tunnel is down a user waits, and goes on at once when it is up.
func TestUserWaitsWhileTunnelIsDown(t *testing.T) {
	withControl(t, false, func(p *controlled) {
		c := p.channel(0)
		p.wantState(observe.Unknown, "")
		p.say(c, "later words\ndown refused\n")
		p.wantDown(true)
		p.wantState(observe.LocalServerDown, "connection refused")
		u := p.user()
		<-time.After(time.Second)
		if n := len(p.session.asked); n != 0 {
			p.Fatalf("%d users are given to a tunnel that is down", n)
		}
		p.say(c, "up\n")
		p.wantDown(false)
		p.wantState(observe.Up, "")
		far, channel := p.next()
		if channel || time.Since(p.began) != time.Second {
			p.Errorf("the user comes after %v, as a channel: %v", time.Since(p.began), channel)
		}
		p.seen.want(p.T, "unknown>local_server_down connection refused", "local_server_down>up")
		_, _ = u.Reset(), far.Reset()
	})
}

// A user who waits for too long is reset for the reason that the relay client has given.
func TestUserOfTunnelThatStaysDown(t *testing.T) {
	withControl(t, true, func(p *controlled) {
		c := p.channel(0)
		p.wantDown(true)
		p.wantState(observe.Unknown, "") // it has said nothing yet
		conntest.WantReset(p.T, p.user())
		p.say(c, "down unhealthy\n")
		p.wantState(observe.LocalServerDown, "its health check fails")
		conntest.WantReset(p.T, p.user())
		synctest.Wait() // the reset is seen by the user first
		p.seen.mu.Lock()
		defer p.seen.mu.Unlock()
		if got := p.seen.reset; len(got) != 2 || got[0] != observe.LocalServerIsDown || got[1] != observe.LocalServerIsDown {
			p.Errorf("users are reset for %q", got)
		}
		if n := p.session.asked; len(n) != 0 {
			p.Error("a user was given to a tunnel that is down")
		}
	})
}

// A channel that is lost is opened again, with a pause that grows. What was said last holds.
func TestControlIsLost(t *testing.T) {
	withControl(t, false, func(p *controlled) {
		c := p.channel(0)
		p.say(c, "down refused\n")
		_ = c.Reset()
		c = p.channel(time.Second)
		p.wantDown(true)
		_ = c.Close()
		c = p.channel(3 * time.Second)
		<-time.After(30 * time.Second) // it stands
		p.say(c, "up\n")
		p.wantDown(false)
		_ = c.Reset()
		p.channel(34 * time.Second)
	})
}

// What no line may have, and too much, ends a channel, and nothing else.
func TestControlFlood(t *testing.T) {
	for name, in := range map[string]string{
		"too long":    "up\n" + strings.Repeat("x", 65),
		"binary":      "up\n\x00",
		"many lines":  strings.Repeat("up\n", 61),
		"empty lines": strings.Repeat("\n", 61),
	} {
		t.Run(name, func(t *testing.T) {
			withControl(t, false, func(p *controlled) {
				c := p.channel(0)
				if _, err := io.WriteString(c, in); err != nil {
					p.Fatal(err)
				}
				conntest.WantReset(p.T, c)
				c = p.channel(time.Second)
				p.say(c, "up\n")
				p.wantState(observe.Up, "")
			})
		})
	}
}

// A relay client is told to move on the channel that it has, and on the next one.
func TestMove(t *testing.T) {
	withControl(t, false, func(p *controlled) {
		c := p.channel(0)
		if !p.endpoint.Tunnels()[0].Move() {
			p.Error("the relay client cannot be told")
		}
		conntest.WantRead(p.T, c, "move\n")
		_ = c.Reset()
		conntest.WantRead(p.T, p.channel(time.Second), "move\n")
		if told, untold := p.group.Move(); told != 0 || untold != 1 {
			p.Errorf("of a tunnel without a lease %d are told, %d not", told, untold)
		}
	})
	withPort(t, func(p *port) {
		p.bind(newStarter())
		if p.endpoint.Tunnels()[0].Move() {
			p.Error("a relay client without a channel can be told")
		}
	})
}

// The channel ends with its tunnel, which does not wait for it.
func TestControlEnds(t *testing.T) {
	for name, end := range map[string]func(p *controlled){
		"taken over": func(p *controlled) { p.bind(newProbed()) },
		"lost":       func(p *controlled) { p.session.ending.end(protocol.ErrTunnelEnded) },
	} {
		t.Run(name, func(t *testing.T) {
			withControl(t, true, func(p *controlled) {
				c := p.channel(0)
				end(p)
				conntest.WantReset(p.T, c)
				select {
				case <-p.session.asked:
					p.Error("the channel is opened again")
				case <-time.After(time.Hour):
				}
			})
		})
	}
}

// A user who waits for a tunnel that is down goes to the next one.
func TestTunnelThatIsDownIsTakenOver(t *testing.T) {
	withControl(t, true, func(p *controlled) {
		p.channel(0)
		u := p.user()
		next := newProbed()
		p.bind(next)
		far := <-next.asked
		go conntest.Write(p.T, u, "hello")
		conntest.WantRead(p.T, far, "hello")
		_, _ = u.Reset(), far.Reset()
	})
}

// A user who has waited for a place among those who wait is not given to a tunnel that has gone
// down meanwhile.
func TestTunnelGoesDownWhileUserQueues(t *testing.T) {
	withPort(t, func(p *port) {
		s := newStarter()
		asked := 0
		s.starting = func() { asked++ }
		if err := p.endpoint.Bind(endpoint.Client{Session: s, Protocol: "event", Addr: new(net.TCPAddr), Control: true}); err != nil {
			p.Fatal(err)
		}
		near, channel := conntest.Memory()
		s.opened(near)
		if _, _, details, err := proxyproto.ReadDetails(channel); err != nil || !details.Control {
			p.Fatalf("the channel begins with %+v, %v", details, err)
		}
		first := p.user() // who has the only place
		reached := s.opened
		near, second := conntest.Memory()
		queued := make(chan struct{})
		wait := p.endpoint.Serve(near, nil)
		if wait == nil {
			p.Fatal("there is a place for a second user")
		}
		go func() {
			defer close(queued)
			wait()
		}()
		say := func(line string) {
			if _, err := io.WriteString(channel, line); err != nil {
				p.Fatal(err)
			}
			synctest.Wait()
		}
		say("down refused\n")
		near, far := conntest.Memory()
		reached(near)
		<-queued
		synctest.Wait()
		if asked != 2 {
			p.Errorf("a connection is asked for %d times, and the tunnel is down, want 2", asked)
		}
		say("up\n")
		_ = s.Close()
		for _, c := range []*conntest.MemoryConn{first, second, far} {
			_ = c.Reset()
		}
	})
}

// Nor is one whom a limit of that tunnel has delayed.
func TestTunnelGoesDownWhileUserIsDelayed(t *testing.T) {
	withPort(t, func(p *port) {
		limited := func(c endpoint.Client) {
			c.Protocol, c.Addr, c.Policy = "event", new(net.TCPAddr), policy.Policy{UsersPerSecond: 1}
			if err := p.endpoint.Bind(c); err != nil {
				p.Fatal(err)
			}
		}
		limited(endpoint.Client{Session: newMate(true)})
		users := []*conntest.MemoryConn{p.user(), p.user()} // as many as may come at once
		other := newStarter()
		p.bind(other)
		users = append(users, p.user()) // who has the only place
		near, delayed := conntest.Memory()
		wait := p.endpoint.Serve(near, nil)
		if wait == nil {
			p.Fatal("there is a place for another user")
		}
		go wait()
		synctest.Wait()
		s := newProbed()
		limited(endpoint.Client{Session: s, Control: true, Proxy: true})
		c := &controlled{port: p, session: s, began: time.Now()}
		channel := c.channel(0)
		near, far := conntest.Memory()
		other.opened(near)
		synctest.Wait()
		c.say(channel, "down refused\n")
		<-time.After(5 * time.Second)
		if n := len(s.asked); n != 0 {
			p.Error("the user is given to a tunnel that is down")
		}
		c.say(channel, "up\n")
		reached, isChannel := c.next()
		if isChannel {
			p.Error("another channel comes, and no user")
		}
		for _, c := range append(users, delayed, far, reached) {
			_ = c.Reset()
		}
	})
}

// What the relay client has said holds when there are no probes any more.
func TestStateWithoutProbes(t *testing.T) {
	withProbedPort(t, 0, discard{}, func(p *port) {
		s := newProbed()
		if err := p.endpoint.Bind(endpoint.Client{Session: s, Protocol: "event", Addr: new(net.TCPAddr), Proxy: true, Probe: true, Control: true}); err != nil {
			p.Fatal(err)
		}
		c := &controlled{port: p, session: s, began: time.Now()}
		channel := c.channel(0)
		probe := &probing{port: p, session: s, began: time.Now()}
		p.group.Reconfigure(time.Minute, interval)
		probe.answer(0, "failed timed-out")
		c.say(channel, "down refused\n")
		p.group.Reconfigure(time.Minute, 0)
		c.wantState(observe.LocalServerDown, "connection refused")
		c.say(channel, "up\n")
		c.wantState(observe.Up, "")
		p.group.Reconfigure(time.Minute, interval)
		probe.answer(0, "failed timed-out")
		p.group.Reconfigure(time.Minute, 0)
		c.wantState(observe.Unknown, "")
	})
}
