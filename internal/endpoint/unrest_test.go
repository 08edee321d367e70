package endpoint_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/proxyproto"
)

// restless is the session of a member that serves some users at once, some late and some
// never, and has a control channel.
type restless struct {
	*starter
	mu      sync.Mutex
	all     []*conntest.MemoryConn // its ends of connections
	channel *conntest.MemoryConn   // or nil
}

func (r *restless) connection() conn.Conn {
	near, far := conntest.Memory()
	r.mu.Lock()
	r.all = append(r.all, far)
	r.mu.Unlock()
	go r.serve(far)
	return near
}

// serve echoes a user's bytes, or keeps the channel.
func (r *restless) serve(far *conntest.MemoryConn) {
	_, _, details, err := proxyproto.ReadDetails(far)
	switch {
	case err != nil:
	case details.Control:
		r.mu.Lock()
		r.channel = far
		r.mu.Unlock()
		return
	default:
		_, _ = io.Copy(far, far)
	}
	_ = far.Reset()
}

// stop ends what is left of a member's connections: those that nobody has waited for.
func (r *restless) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, far := range r.all {
		_ = far.Reset()
	}
}

// say has the member say a line, if it has a channel.
func (r *restless) say(line string) {
	r.mu.Lock()
	c := r.channel
	r.mu.Unlock()
	if c != nil {
		_, _ = io.WriteString(c, line)
	}
}

func (r *restless) TryOpen() conn.Conn {
	if rand.N(3) == 0 {
		return r.connection()
	}
	return nil
}

func (r *restless) Start(opened func(conn.Conn)) (protocol.Opening, error) {
	o := &startedOpening{session: r.starter}
	o.Init(opened)
	if rand.N(30) > 0 {
		time.AfterFunc(rand.N(200*time.Millisecond), func() { o.Deliver(r.connection()) })
	}
	return o, nil
}

func (r *restless) Open(ctx context.Context, _ netip.AddrPort) (conn.Conn, error) {
	o, err := r.Start(nil)
	if err != nil {
		return nil, err
	}
	return o.Wait(ctx)
}

// Members come, leave, are lost, and are up and down, and no user is lost, nor served twice.
func TestUsersOfRestlessGroup(t *testing.T) {
	withGroupOf(t, endpoint.Config{Waiting: 100}, func(g *grouped) {
		var members [4]*restless
		var all []*restless
		join := func(i int) {
			if members[i] != nil {
				members[i].end(protocol.ErrLeft)
			}
			members[i] = &restless{starter: newStarter()}
			all = append(all, members[i])
			g.mustJoin(fmt.Sprint(i), members[i], func(c *endpoint.Client) { c.Proxy, c.Control = true, true })
		}
		for i := range members {
			join(i)
		}
		var users sync.WaitGroup
		for n := range 2000 {
			i := rand.N(len(members))
			switch rand.N(10) {
			case 0:
				join(i)
			case 1:
				members[i].say("down refused\n")
			case 2:
				members[i].say("up\n")
			case 3:
				members[i].say("leave\n")
			}
			users.Go(func() { g.visit(n) })
			<-time.After(rand.N(200 * time.Millisecond))
		}
		for i := range members {
			join(i)
		}
		users.Wait()
		g.mustBeIdle()
		for _, m := range all {
			m.stop()
		}
	})
}

// visit is one user, whose bytes have to come back.
func (g *grouped) visit(n int) {
	near, u := conntest.Memory()
	if wait := g.endpoint.Serve(near, nil); wait != nil {
		wait()
	}
	word := fmt.Sprintf("user %d", n)
	got := make([]byte, len(word))
	_, err := io.WriteString(u, word)
	if err == nil {
		_, err = io.ReadFull(u, got)
	}
	if err != nil || string(got) != word {
		g.Errorf("%s gets %q, %v", word, got, err)
	}
	_ = u.Reset()
}

// mustBeIdle expects that nobody counts as a user of a member.
func (g *grouped) mustBeIdle() {
	g.Helper()
	synctest.Wait()
	for _, m := range g.endpoint.Snapshot().Members {
		if m.Users != 0 {
			g.Errorf("%s has %d users", m.Name, m.Users)
		}
	}
}
