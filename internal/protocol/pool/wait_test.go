package pool_test

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/protocol/protocoltest"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/pool"
	"github.com/seed96252745/relay/internal/wire"
)

// linger is how long a pool without a connection lives, by docs/protocol.md.
const linger = 60 * time.Second

// leasedLinger is the same for one whose port is leased.
const leasedLinger = 3 * time.Second

func pass(d time.Duration) { <-time.After(d) }

// The user who has waited longest is served first.
func TestWaitingUsersInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newMemoryPool(t)
		defer p.tunnel.Close()
		defer p.take(t).Close()
		const n = 5
		got := make(chan opened, n)
		for user := range n {
			go p.wait(t.Context(), user, got)
			synctest.Wait()
		}
		for user := range n {
			client := p.add(t)
			o := <-got
			if o.err != nil || o.user != user {
				t.Fatalf("connection %d went to user %d, %v", user, o.user, o.err)
			}
			wantMemoryPair(t, o.conn, client)
			_ = o.conn.Close()
		}
	})
}

// A user who gives up leaves the queue, and the others move up.
func TestUserGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newMemoryPool(t)
		defer p.tunnel.Close()
		defer p.take(t).Close()
		got := make(chan opened, 2)
		ctx, cancel := context.WithCancelCause(t.Context())
		go p.wait(ctx, 0, got)
		synctest.Wait()
		go p.wait(t.Context(), 1, got)
		synctest.Wait()
		cancel(protocoltest.ErrUserLeft)
		if o := <-got; o.user != 0 || !errors.Is(o.err, protocoltest.ErrUserLeft) {
			t.Fatalf("user %d got %v, want user 0 and the cause of the context", o.user, o.err)
		}
		client := p.add(t)
		o := <-got
		if o.user != 1 || o.err != nil {
			t.Fatalf("user %d got %v", o.user, o.err)
		}
		wantMemoryPair(t, o.conn, client)
		_ = o.conn.Close()
	})
}

func TestCloseEndsWaitingUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newMemoryPool(t)
		defer p.take(t).Close()
		got := make(chan opened, 3)
		for user := range 3 {
			go p.wait(t.Context(), user, got)
		}
		synctest.Wait()
		_ = p.tunnel.Close()
		for range 3 {
			if o := <-got; !errors.Is(o.err, protocol.ErrTunnelEnded) {
				t.Errorf("a waiting user got %v, want %v", o.err, protocol.ErrTunnelEnded)
			}
		}
	})
}

// A pool lives as long as it has a connection, and 60 seconds more.
func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newMemoryPool(t)
		pass(24 * time.Hour)
		user := p.take(t)
		pass(24 * time.Hour)
		if p.tunnel.Ended().Err() != nil {
			t.Fatal("ended while a connection was in use")
		}
		since := time.Now()
		_ = user.Close()
		<-p.tunnel.Ended().Done()
		if took := time.Since(since); took != linger {
			t.Errorf("ended %v after its last connection, want %v", took, linger)
		}
		client, err := p.claim()
		if !errors.Is(err, protocol.ErrUnknownID) {
			t.Errorf("a claim after the end gets %v, want %v", err, protocol.ErrUnknownID)
		}
		conntest.WantReset(t, client)
		if _, err := p.tunnel.Open(t.Context(), netip.AddrPort{}); !errors.Is(err, protocol.ErrTunnelEnded) {
			t.Errorf("a user after the end gets %v, want %v", err, protocol.ErrTunnelEnded)
		}
	})
}

// A port that is leased outlives its pool, which keeps others with the same lease key
// out for as long as it stands.
func TestLingerOfLeased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		relay := pool.NewRelay(pool.Config{})
		conn, client := conntest.Memory()
		go func() { _, _ = io.Copy(io.Discard, client) }()
		tunnel, err := relay.Register(conn, protocol.Grant{Answer: wire.Answer{Port: 20001, Lease: 5 * time.Minute}})
		if err != nil {
			t.Fatal(err)
		}
		pass(24 * time.Hour)
		user, err := tunnel.Open(t.Context(), netip.AddrPort{})
		if err != nil {
			t.Fatal(err)
		}
		pass(24 * time.Hour)
		if tunnel.Ended().Err() != nil {
			t.Fatal("ended while a connection was in use")
		}
		_ = user.Close()
		since := time.Now()
		<-tunnel.Ended().Done()
		if took := time.Since(since); took != leasedLinger {
			t.Errorf("ended %v after its last connection, want %v", took, leasedLinger)
		}
		_ = tunnel.Close()
	})
}

// A connection in the last moment stops the clock, and when it is used up the
// clock starts anew. Resetting a connection uses it up like closing it.
func TestLingerStartsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newMemoryPool(t)
		user := p.take(t)
		for range 5 {
			_ = user.Reset()
			_ = user.Close() // once more must not count twice
			pass(linger - time.Nanosecond)
			if p.tunnel.Ended().Err() != nil {
				t.Fatal("ended too early")
			}
			p.add(t)
			pass(linger)
			user = p.take(t)
			pass(linger)
			if p.tunnel.Ended().Err() != nil {
				t.Fatal("ended while it had a connection")
			}
		}
		one := p.add(t)
		other := p.take(t)
		_ = user.Close()
		pass(linger)
		wantMemoryPair(t, other, one)
		since := time.Now()
		_ = other.Close()
		<-p.tunnel.Ended().Done()
		if took := time.Since(since); took != linger {
			t.Errorf("ended %v after its last connection, want %v", took, linger)
		}
	})
}

// A waiting user is no connection: he does not keep the pool alive, and gets an error
// when it ends.
func TestWaitingUserDoesNotKeepThePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newMemoryPool(t)
		_ = p.take(t).Close()
		since := time.Now()
		got := make(chan opened, 1)
		go p.wait(t.Context(), 0, got)
		if o := <-got; !errors.Is(o.err, protocol.ErrTunnelEnded) || time.Since(since) != linger {
			t.Errorf("after %v: got %v, want %v after %v", time.Since(since), o.err, protocol.ErrTunnelEnded, linger)
		}
	})
}

// A user who has waited and been served counts as a connection in use.
func TestServedUserKeepsThePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newMemoryPool(t)
		_ = p.take(t).Close()
		got := make(chan opened, 1)
		go p.wait(t.Context(), 0, got)
		synctest.Wait()
		p.add(t)
		o := <-got
		if o.err != nil {
			t.Fatal(o.err)
		}
		pass(10 * linger)
		if p.tunnel.Ended().Err() != nil {
			t.Error("ended while a user was served")
		}
		_ = o.conn.Close()
		<-p.tunnel.Ended().Done()
	})
}

// A connection that comes in the moment in which a user gives up is either the
// user's, or waits for the next one. It is never lost.
func TestClaimAndExpiryRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newMemoryPool(t)
		defer p.tunnel.Close()
		defer p.take(t).Close()
		for range 1000 {
			ctx, cancel := context.WithCancelCause(t.Context())
			got := make(chan opened, 1)
			go p.wait(ctx, 0, got)
			synctest.Wait()
			cancel(protocoltest.ErrUserLeft) // wakes the user, who is seldom faster than the claim
			client := p.add(t)
			o := <-got
			if o.err != nil {
				if !errors.Is(o.err, protocoltest.ErrUserLeft) {
					t.Fatalf("the user got %v", o.err)
				}
				next, stop := context.WithTimeout(t.Context(), patience)
				o.conn, o.err = p.tunnel.Open(next, netip.AddrPort{})
				stop()
				if o.err != nil {
					t.Fatal("the connection is lost: neither has the user got it, nor the next one")
				}
			}
			wantMemoryPair(t, o.conn, client)
			_ = o.conn.Close()
		}
	})
}
