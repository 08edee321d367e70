package endpoint_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// mate is the session of a member of a group.
type mate struct {
	*starter
	serves bool  // users, at once
	absent bool  // as its relay client seems to be
	fails  error // with which Start and Open fail, or nil
	breaks bool  // each connection, before anything is written on it

	asked atomic.Int64 // how many users came, and came to wait
	made  atomic.Int64 // connections
}

func newMate(serves bool) *mate { return &mate{starter: newStarter(), serves: serves} }

func (m *mate) Absent() bool { return m.absent }

func (m *mate) TryOpen() conn.Conn {
	m.asked.Add(1)
	if !m.serves {
		return nil
	}
	return m.connection()
}

func (m *mate) connection() conn.Conn {
	near, far := conntest.Memory()
	m.made.Add(1)
	if m.breaks {
		_ = far.Reset()
	}
	return near
}

func (m *mate) Start(opened func(conn.Conn)) (protocol.Opening, error) {
	if m.fails != nil {
		return nil, m.fails
	}
	return m.starter.Start(opened)
}

func (m *mate) Open(ctx context.Context, user netip.AddrPort) (conn.Conn, error) {
	m.asked.Add(1)
	switch {
	case m.fails != nil:
		return nil, m.fails
	case m.serves:
		return m.connection(), nil
	}
	return m.starter.Open(ctx, user)
}

// grouped is a leased port that members of a group serve.
type grouped struct {
	*port
	seen *reasons
	ends chan error // with which the endpoint is closed
}

func withGroup(t *testing.T, f func(*grouped)) {
	t.Helper()
	withGroupOf(t, endpoint.Config{Waiting: 1}, f)
}

// withGroupOf is withGroup for endpoints with that configuration, which need not be complete.
func withGroupOf(t *testing.T, config endpoint.Config, f func(*grouped)) {
	t.Helper()
	seen := new(reasons)
	config.Events = seen
	withPortOf(t, config, func(p *port) {
		registry := lease.NewRegistry(lease.Config{
			Store: lease.Forget{}, Ports: lease.NewPorts(nil), Log: slog.New(slog.DiscardHandler), TTL: time.Minute, IdentityTTL: time.Minute,
			Watch: func(string, int, func(error)) (stop func(), err error) { return func() {}, nil },
		})
		g := &grouped{port: p, seen: seen, ends: make(chan error, 1)}
		var e *endpoint.Endpoint
		h := registry.New(lease.Lease{Key: lease.GroupKeyOf("a", "web"), Port: 20001, Identity: "a", Group: "web"}, "a", func(reason error) { e.Close(reason) })
		if _, err := registry.Acquire(h); err != nil {
			p.Fatal(err)
		}
		p.endpoint.Close(errors.New("the test has one of its own"))
		e = p.group.New(endpoint.Place{
			Port: 20001, Account: p.admission.Accounts.Open("a", 20001, func() {}), Owner: "a", Lease: h,
			Free: func(_ string, reason error) { g.ends <- reason },
		})
		p.endpoint = e
		f(g)
	})
}

// join binds a member that is known by its name. The change may be nil.
func (g *grouped) join(name string, s protocol.Session, change func(*endpoint.Client)) error {
	c := endpoint.Client{
		Session: s, Protocol: "event", Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 9}, Identity: "a", Instance: name,
		Group: "web", Key: lease.KeyOf("a", name), Member: name,
	}
	if change != nil {
		change(&c)
	}
	return g.endpoint.Bind(c)
}

func (g *grouped) mustJoin(name string, s protocol.Session, change func(*endpoint.Client)) {
	g.Helper()
	if err := g.join(name, s, change); err != nil {
		g.Fatal(err)
	}
}

func (g *grouped) names() (names []string) {
	for _, m := range g.endpoint.Snapshot().Members {
		names = append(names, m.Name)
	}
	return names
}

func (g *grouped) wantMembers(want ...string) {
	g.Helper()
	synctest.Wait()
	if got := g.names(); fmt.Sprint(got) != fmt.Sprint(want) {
		g.Errorf("the members are %v, want %v", got, want)
	}
}

// come has a user come, and go when the test ends.
func (g *grouped) come() *conntest.MemoryConn {
	g.Helper()
	u := g.user()
	synctest.Wait()
	return u
}

func (g *grouped) leave(users ...*conntest.MemoryConn) {
	for _, u := range users {
		_ = u.Reset()
	}
}

// in turns has members take users in turns.
func inTurns(c *endpoint.Client) { c.Terms.Balance = wire.BalanceRoundRobin }

// A user who waits for the connection of a member that hangs goes on to another one after two
// seconds, and further users come to that one first.
func TestUserGoesOnFromMemberThatHangs(t *testing.T) {
	withGroup(t, func(g *grouped) {
		hangs, well := newMate(false), newMate(true)
		g.mustJoin("hangs", hangs, inTurns)
		g.mustJoin("well", well, inTurns)
		since := time.Now()
		u := g.come()
		if hangs.asked.Load() != 1 || well.made.Load() != 0 {
			g.Fatalf("members are asked %d and %d times", hangs.asked.Load(), well.asked.Load())
		}
		<-time.After(3 * time.Second)
		synctest.Wait()
		if well.made.Load() != 1 {
			g.Fatalf("the user waits still after %v", time.Since(since))
		}
		others := []*conntest.MemoryConn{g.come(), g.come(), g.come()}
		if hangs.asked.Load() != 1 || well.made.Load() != 4 {
			g.Errorf("the member that hangs was asked %d times, and the other serves %d users", hangs.asked.Load(), well.made.Load())
		}
		<-time.After(time.Minute)
		others = append(others, g.come(), g.come())
		if hangs.asked.Load() != 2 {
			g.Errorf("later it was asked %d times, want 2", hangs.asked.Load())
		}
		g.leave(append(others, u)...)
	})
}

// Where all members hang a user tries each, and waits for the last one as long as users do.
func TestUserWaitsWhereAllMembersHang(t *testing.T) {
	withGroup(t, func(g *grouped) {
		mates := []*mate{newMate(false), newMate(false), newMate(false)}
		for i, m := range mates {
			g.mustJoin(fmt.Sprint(i), m, nil)
		}
		since := time.Now()
		u := g.come()
		conntest.WantReset(g.T, u)
		synctest.Wait()
		if waited := time.Since(since); waited < time.Minute || waited > time.Minute+time.Second {
			g.Errorf("the user is reset after %v, want a minute", waited)
		}
		for i, m := range mates {
			if m.asked.Load() != 1 {
				g.Errorf("member %d was asked %d times", i, m.asked.Load())
			}
		}
		if len(g.seen.reset) != 1 || g.seen.reset[0] != observe.WaitTimeout {
			g.Errorf("the reasons are %v", g.seen.reset)
		}
	})
}

// A member that has no room, or whose connection fails before a byte of the user's is used,
// is passed over. Where that is so for all, the user is reset for the reason of the last.
func TestUserPassesOverMembers(t *testing.T) {
	for name, mend := range map[string]func(*mate){
		"full":       func(m *mate) { m.fails = protocol.ErrFull },
		"no stream":  func(m *mate) { m.fails = protocol.ErrNoStream },
		"broken":     func(m *mate) { m.serves, m.breaks = true, true },
		"has ended":  func(m *mate) { m.fails = protocol.ErrTunnelEnded },
		"is ending":  func(m *mate) { m.starting = func() { m.end(protocol.ErrLeft) } },
		"is absent":  func(m *mate) { m.absent = true },
		"is stopped": func(m *mate) { _ = m.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			withGroup(t, func(g *grouped) {
				bad, worse, well := newMate(false), newMate(false), newMate(true)
				for i, m := range []*mate{bad, worse, well} {
					g.mustJoin(fmt.Sprint(i), m, func(c *endpoint.Client) {
						inTurns(c)
						c.Proxy = m != well // a header shows that a connection is broken
					})
				}
				mend(bad)
				mend(worse)
				since := time.Now()
				users := []*conntest.MemoryConn{g.come(), g.come(), g.come(), g.come()}
				if well.made.Load() != 4 || time.Since(since) > 0 {
					g.Errorf("%d users are served by the one that can, after %v", well.made.Load(), time.Since(since))
				}
				g.leave(users...)
			})
		})
	}
	withGroup(t, func(g *grouped) {
		for i := range 3 {
			m := newMate(false)
			m.fails = protocol.ErrFull
			g.mustJoin(fmt.Sprint(i), m, nil)
		}
		conntest.WantReset(g.T, g.come())
		synctest.Wait()
		if len(g.seen.reset) != 1 || g.seen.reset[0] != observe.TooManyWaiting {
			g.Errorf("the reasons are %v", g.seen.reset)
		}
	})
}

// A member has at most as many tunnels as its bits allow, and one that leaves makes room.
func TestMostMembers(t *testing.T) {
	withGroup(t, func(g *grouped) {
		var mates []*mate
		for i := range endpoint.MaxMembers {
			mates = append(mates, newMate(true))
			g.mustJoin(fmt.Sprint(i), mates[i], inTurns)
		}
		if err := g.join("more", newMate(true), inTurns); !errors.Is(err, endpoint.ErrGroupFull) {
			g.Errorf("one more: %v", err)
		}
		again := newMate(true)
		g.mustJoin("3", again, inTurns) // which takes over
		mates[17].end(protocol.ErrLeft)
		synctest.Wait()
		more := newMate(true)
		g.mustJoin("more", more, inTurns)
		var users []*conntest.MemoryConn
		for range 2 * endpoint.MaxMembers {
			users = append(users, g.come())
		}
		mates[3], mates[17] = again, more
		for i, m := range mates {
			if m.made.Load() != 2 {
				g.Errorf("member %d serves %d users, want 2", i, m.made.Load())
			}
		}
		g.leave(users...)
	})
}

// What befalls one member leaves the others alone: a ban, or the end of its identity, of
// which the last one takes the port along.
func TestOneMemberIsCutOff(t *testing.T) {
	withGroup(t, func(g *grouped) {
		revoke := make(map[string]func(error))
		watched := func(name string) func(*endpoint.Client) {
			return func(c *endpoint.Client) {
				c.Watch = func(revoked func(error)) (stop func()) {
					revoke[name] = revoked
					return func() {}
				}
			}
		}
		g.mustJoin("banned", newMate(true), func(c *endpoint.Client) { c.Addr = bannedClient })
		g.mustJoin("one", newMate(true), watched("one"))
		g.mustJoin("two", newMate(true), watched("two"))
		g.ban()
		g.wantMembers("one", "two")
		revoke["one"](observe.WithReason(auth.ErrExpired, observe.CertificateExpired))
		g.wantMembers("two")
		if err := g.endpoint.Reason(); err != nil {
			g.Errorf("the port is closed: %v", err)
		}
		revoke["two"](observe.WithReason(auth.ErrExpired, observe.CertificateExpired))
		if err := <-g.ends; !errors.As(err, new(lease.Revoked)) {
			g.Errorf("the port is given back for %v", err)
		}
	})
}

// Nothing holds on to a member that has gone, though its port stands for long.
func TestMemberIsForgotten(t *testing.T) {
	withGroup(t, func(g *grouped) {
		gone := func(name string) weak.Pointer[mate] {
			m := newMate(true)
			g.mustJoin(name, m, nil)
			u := g.come()
			g.leave(u)
			m.end(protocol.ErrLeft)
			synctest.Wait()
			return weak.Make(m)
		}
		for _, name := range []string{"one", "two"} {
			m := gone(name)
			runtime.GC()
			if m.Value() != nil {
				g.Errorf("the session of %s is held still", name)
			}
		}
	})
}

// An operator's end is that of all members.
func TestGroupIsClosed(t *testing.T) {
	withGroup(t, func(g *grouped) {
		one, two := newMate(true), newMate(true)
		g.mustJoin("one", one, nil)
		g.mustJoin("two", two, nil)
		users := []*conntest.MemoryConn{g.come(), g.come()}
		g.endpoint.End()
		for _, u := range users {
			conntest.WantReset(g.T, u)
		}
		<-one.ended.Done()
		<-two.ended.Done()
		<-g.ends
	})
}

// A header that was written in part with bytes of the user's is not written again.
func TestUsedBytesAreNotReplayed(t *testing.T) {
	for name, hello := range map[string]string{"silent": "", "speaks": "hello"} {
		t.Run(name, func(t *testing.T) {
			withGroup(t, func(g *grouped) {
				slow, well := &partly{mate: newMate(false)}, newMate(true)
				g.mustJoin("slow", slow, func(c *endpoint.Client) { c.Proxy = true; inTurns(c) })
				g.mustJoin("well", well, inTurns)
				near, u := conntest.Memory()
				if wait := g.endpoint.Serve(near, []byte(hello)); wait != nil {
					g.Fatal("there is no place for the user")
				}
				synctest.Wait()
				switch {
				case hello == "" && well.made.Load() != 1:
					g.Error("a silent user does not go on")
				case hello != "":
					if got, err := io.ReadAll(u); err == nil || len(got) > 0 || well.made.Load() != 0 {
						g.Errorf("the user gets %q, %v, and %d connections are made", got, err, well.made.Load())
					}
				}
				g.leave(u)
			})
		})
	}
}

// partly is a mate whose connections fail once most of what is written has been.
type partly struct{ *mate }

func (p *partly) Start(opened func(conn.Conn)) (protocol.Opening, error) {
	o, err := p.mate.Start(opened)
	near, _ := conntest.Memory()
	p.opened(&failing{near})
	return o, err
}

type failing struct{ *conntest.MemoryConn }

func (f *failing) Write(b []byte) (int, error) {
	_ = f.Reset()
	return len(b) - 1, net.ErrClosed
}
