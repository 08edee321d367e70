package multiplex_test

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/multiplex"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
	"github.com/seed96252745/relay/internal/wire"
)

// simulated is a relay whose connections are in memory, so that time can be simulated.
type simulated struct {
	*testing.T
	relay *multiplex.Relay
	wrap  func(conn.Conn) conn.Conn // what the client dials, or nil

	mu     sync.Mutex       // guards what follows
	down   bool             // no connection succeeds
	other  bool             // claims come to another relay
	mute   bool             // it says nothing after its answer
	conns  []conn.Conn      // accepted ones
	asked  []int            // how many sessions each registration asked for
	claims int              // that have come
	tunnel protocol.Session // the last one
}

// inSimulation runs test with time simulated.
func inSimulation(t *testing.T, test func(*simulated)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(&simulated{T: t, relay: new(multiplex.Relay)})
	})
}

// register registers, and waits until nothing is left to do at once.
func (r *simulated) register(client *multiplex.Client) *protocoltest.Registration {
	r.Helper()
	registration, err := protocoltest.Register(r.Context(), client, r.dial)
	if err != nil {
		r.Fatal(err)
	}
	synctest.Wait()
	return registration
}

// leave ends the registration, and waits for it.
func (r *simulated) leave(registration *protocoltest.Registration) {
	_ = registration.Close()
	r.kill()
	registration.Wait(r.Context())
	_ = r.tunnel.Close()
}

func (r *simulated) dial(context.Context) (conn.Conn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		return nil, errors.New("nobody is there")
	}
	near, far := conntest.Memory()
	go r.answer(far)
	if r.wrap != nil {
		return r.wrap(near), nil
	}
	return near, nil
}

func (r *simulated) answer(c conn.Conn) {
	req, err := wire.ReadRequest(wire.NewReader(c), []wire.Verb{r.relay.Verb()})
	if err != nil {
		r.Error(err)
		return
	}
	preamble, err := wire.ParsePreamble(req.Options)
	if err != nil {
		r.Error(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !req.IsClaim() && r.mute:
		if err := wire.WriteAnswer(c, wire.Answer{Port: 20001, Sessions: 4, Session: wire.NewID()}, ""); err != nil {
			r.Error(err)
		}
	case !req.IsClaim():
		r.asked = append(r.asked, preamble.Sessions)
		r.tunnel, err = r.relay.Register(c, protocol.Grant{Answer: wire.Answer{Port: 20001}, Sessions: preamble.Sessions})
		if err != nil {
			r.Error(err)
		}
	case r.other:
		r.claims++
		_ = c.Reset()
		return
	default:
		r.claims++
		_ = r.relay.Claim(c, "", req.ID)
	}
	r.conns = append(r.conns, c)
}

// kill resets all connections, one after the other, and lets none succeed.
func (r *simulated) kill() {
	r.mu.Lock()
	conns := r.conns
	r.conns, r.down = nil, true
	r.mu.Unlock()
	for _, c := range conns {
		_ = c.Reset()
		synctest.Wait()
	}
}

// set changes what the relay does.
func (r *simulated) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// elapse lets time pass, and what is due be done.
func elapse(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// sessions returns how many there are.
func (r *simulated) sessions(of int) int { return of - r.tunnel.(protocol.Claimable).ExpectedClaims() }

// A relay that dies takes all its sessions along, which have been idle for as long as each
// other. That says nothing about a proxy's idle timeout.
func TestClientLearnsNothingFromOneDeath(t *testing.T) {
	inSimulation(t, func(r *simulated) {
		client := &multiplex.Client{Sessions: 4}
		usual := client.Interval()
		registration := r.register(client)
		elapse(7 * time.Second)
		r.kill()
		<-registration.Ended()
		_ = r.tunnel.Close()
		r.set(func() { r.down = false }) // it is back at once
		registration = r.register(client)
		if got := client.Interval(); got != usual {
			t.Errorf("the interval is %v after one death, and was %v", got, usual)
		}
		elapse(time.Minute)
		r.leave(registration)
	})
}

// A proxy that cuts off one idle session again and again shows its idle timeout, though
// another session stands.
func TestClientLearnsFromFurtherSession(t *testing.T) {
	inSimulation(t, func(r *simulated) {
		client := &multiplex.Client{Sessions: 2}
		registration := r.register(client)
		for range 2 {
			elapse(10 * time.Second)
			_ = r.conns[len(r.conns)-1].Reset()
		}
		elapse(10 * time.Second)
		// A pause comes first if the relay has yet to notice the loss.
		if got := client.Interval(); got < 4*time.Second || got > 5*time.Second {
			t.Errorf("the interval is %v, want about 5s", got)
		}
		r.leave(registration)
	})
}

// After an outage, the first session that stands shows that it is over: the others are
// made at once.
func TestClientRecoversFromOutage(t *testing.T) {
	inSimulation(t, func(r *simulated) {
		const sessions = 16
		registration := r.register(&multiplex.Client{Sessions: sessions})
		if n := r.sessions(sessions); n != sessions {
			t.Fatalf("there are %d sessions", n)
		}
		first := r.conns[0]
		r.set(func() { r.conns = r.conns[1:] })
		r.kill()
		elapse(10 * time.Minute)
		r.set(func() { r.down, r.conns = false, []conn.Conn{first} })
		elapse(36 * time.Second) // the longest pause, and what one session stands
		if n := r.sessions(sessions); n != sessions {
			t.Errorf("there are %d of %d sessions", n, sessions)
		}
		r.leave(registration)
	})
}

// Behind a load balancer with several relays, further sessions come to others. The client
// makes do with one session, for as long as it lives, before the relays ban its address.
func TestClientSettlesForOneSession(t *testing.T) {
	inSimulation(t, func(r *simulated) { r.settle() })
}

// It does so too where the load balancer makes an end of the reset, which shows with TLS.
func TestClientSettlesBehindProxy(t *testing.T) {
	inSimulation(t, func(r *simulated) {
		r.wrap = func(c conn.Conn) conn.Conn { return cutOff{c} }
		r.settle()
	})
}

// cutOff is a connection over TLS whose resets come as ends of TCP.
type cutOff struct{ conn.Conn }

func (c cutOff) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if errors.Is(err, syscall.ECONNRESET) {
		err = conn.ErrTruncated
	}
	return n, err
}

// settle has a client settle for one session.
func (r *simulated) settle() {
	r.Helper()
	settled := 0
	client := &multiplex.Client{Sessions: 4, OnSettled: func() { settled++ }}
	r.set(func() { r.other = true })
	registration := r.register(client)
	elapse(time.Hour)
	if settled != 1 || r.claims > 4 {
		r.Errorf("it has settled %d times, after %d claims", settled, r.claims)
	}
	select {
	case <-registration.Ended():
		r.Fatal("the first session has ended")
	default:
	}
	r.kill()
	<-registration.Ended()
	_ = r.tunnel.Close()
	r.set(func() { r.down = false })
	registration = r.register(client)
	elapse(time.Hour)
	if last := r.asked[len(r.asked)-1]; last > 1 || settled != 1 || r.claims > 4 {
		r.Errorf("then it asks for %d sessions, settles %d times, and makes %d claims", last, settled, r.claims)
	}
	r.leave(registration)
}

// A relay that has restarted refuses further sessions too, while the client has yet to
// notice that the others are lost.
func TestClientDoesNotSettleAfterRestart(t *testing.T) {
	inSimulation(t, func(r *simulated) {
		r.set(func() { r.other, r.mute = true, true })
		client := &multiplex.Client{Sessions: 4, OnSettled: func() { t.Error("it has settled") }}
		registration := r.register(client)
		<-registration.Ended()
		r.set(func() { r.other, r.mute = false, false })
		registration = r.register(client)
		elapse(time.Minute)
		if n := r.sessions(4); n != 4 {
			t.Errorf("there are %d sessions", n)
		}
		r.leave(registration)
	})
}

// Refusals that are not in a row, or of another kind, are no reason to settle.
func TestClientGoesOnAfterRefusals(t *testing.T) {
	inSimulation(t, func(r *simulated) {
		client := &multiplex.Client{Sessions: 2, OnSettled: func() { t.Error("it has settled") }}
		registration := r.register(client)
		for range 5 {
			elapse(time.Minute)
			r.set(func() { r.other = true })
			_ = r.conns[len(r.conns)-1].Reset()
			synctest.Wait()
			r.set(func() { r.other = false })
		}
		elapse(time.Minute)
		if n := r.sessions(2); n != 2 {
			t.Errorf("there are %d sessions", n)
		}
		r.leave(registration)
	})
}
