package endpoint_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/proxyproto"
)

// A relay client that is about to end is given no more users, whatever it says later, and is
// told so. Users wait for the next one.
func TestRelayClientLeaves(t *testing.T) {
	withGroup(t, func(g *grouped) {
		s := newProbed()
		g.mustJoin("leaves", s, func(c *endpoint.Client) { c.Proxy, c.Control = true, true })
		p := &controlled{port: g.port, session: s, began: time.Now()}
		channel := p.channel(0)
		p.say(channel, "leave\n")
		conntest.WantRead(g.T, channel, "left\n")
		p.say(channel, "up\n")
		waits := g.come()
		if len(s.asked) > 0 {
			t.Error("it is given a user")
		}
		s.ending.end(protocol.ErrLeft)
		next := newMate(true)
		g.mustJoin("next", next, nil)
		synctest.Wait()
		if next.made.Load() != 1 {
			t.Error("the user waits still")
		}
		g.leave(waits)
	})
}

// The others of a group have its users.
func TestMemberLeaves(t *testing.T) {
	withGroup(t, func(g *grouped) {
		s, stays := newProbed(), newMate(true)
		g.mustJoin("leaves", s, func(c *endpoint.Client) { c.Proxy, c.Control = true, true })
		g.mustJoin("stays", stays, nil)
		p := &controlled{port: g.port, session: s, began: time.Now()}
		p.say(p.channel(0), "leave\n")
		users := []*conntest.MemoryConn{g.come(), g.come(), g.come()}
		if stays.made.Load() != 3 || len(s.asked) > 0 {
			t.Errorf("the member that stays has %d users of 3", stays.made.Load())
		}
		g.leave(users...)
	})
}

// Where a relay client stays on that has said it leaves, that its server is down is not why its
// users are reset.
func TestRelayClientLeavesAndStays(t *testing.T) {
	withGroup(t, func(g *grouped) {
		s := newProbed()
		g.mustJoin("leaves", s, func(c *endpoint.Client) { c.Proxy, c.Control = true, true })
		p := &controlled{port: g.port, session: s, began: time.Now()}
		p.say(p.channel(0), "leave\n")
		conntest.WantReset(g.T, g.come())
		synctest.Wait()
		if len(g.seen.reset) != 1 || g.seen.reset[0] != observe.WaitTimeout {
			g.Errorf("the reasons are %v", g.seen.reset)
		}
	})
}

// Without a lease nobody comes after it, and it is given users until it ends.
func TestRelayClientWithoutLeaseLeaves(t *testing.T) {
	withControl(t, false, func(p *controlled) {
		channel := p.channel(0)
		p.say(channel, "leave\n")
		conntest.WantRead(p.T, channel, "left\n")
		u := p.user()
		far, isChannel := p.next()
		if isChannel {
			p.Error("a channel comes, and no user")
		}
		_, _ = u.Reset(), far.Reset()
	})
}

// A user who waits for the connection of a relay client that leaves goes on to another one, at
// once, and however long it has waited by then.
func TestUserGoesOnFromMemberThatLeaves(t *testing.T) {
	for _, waited := range []time.Duration{0, time.Second} {
		withGroupOf(t, endpoint.Config{Waiting: 10}, func(g *grouped) {
			leaves, stays := newMate(false), newMate(true)
			g.mustJoin("leaves", leaves, func(c *endpoint.Client) { c.Control = true; inTurns(c) })
			near, channel := conntest.Memory()
			leaves.opened(near)
			if _, _, details, err := proxyproto.ReadDetails(channel); err != nil || !details.Control {
				g.Fatalf("the channel begins with %+v, %v", details, err)
			}
			g.mustJoin("stays", stays, inTurns)
			u := g.come()
			<-time.After(waited)
			since := time.Now()
			p := &controlled{port: g.port}
			p.say(channel, "leave\n")
			if stays.made.Load() != 1 || time.Since(since) > 0 {
				g.Errorf("after %v the user is given to %d others, %v later", waited, stays.made.Load(), time.Since(since))
			}
			conntest.WantRead(g.T, channel, "left\n")
			g.leave(u)
		})
	}
}
