package event_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/protocol/protocoltest"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
)

// maxInput is how much a relay client may send in a minute on its control connection, by
// docs/protocol.md.
const maxInput = 4 << 10

func pass(d time.Duration) { <-time.After(d) }

// The relay discards some input, and the tunnel is as good as before.
func TestInputIsDiscarded(t *testing.T) {
	e := newTunnel(t)
	conntest.Write(t, e.control, strings.Repeat("x", maxInput))
	user, client := e.serve()
	conntest.WantPair(t, user, client)
	if e.tunnel.Ended().Err() != nil {
		t.Error("the tunnel has ended")
	}
	conntest.Write(t, e.control, "x")
	protocoltest.WantEnded(t, e.tunnel)
}

func TestInputAtOnce(t *testing.T) {
	e := newTunnel(t)
	conntest.Write(t, e.control, strings.Repeat("\n", maxInput+1))
	protocoltest.WantEnded(t, e.tunnel)
}

// It is the rate that counts: a relay client that sends something now and then,
// to keep a NAT awake, may do so forever.
func TestChatterOverTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newMemoryTunnel(t)
		defer e.control.Close()
		for range 100 {
			conntest.Write(t, e.control, strings.Repeat("x", maxInput/2))
			pass(time.Minute)
		}
		synctest.Wait()
		if e.tunnel.Ended().Err() != nil {
			t.Fatal("ended although it said no more than it may")
		}
		conntest.Write(t, e.control, strings.Repeat("x", maxInput/2))
		pass(30 * time.Second)
		for range 2 {
			// The last write fails if the relay has had enough before its end.
			_, _ = e.control.Write([]byte(strings.Repeat("x", maxInput/2+512)))
		}
		synctest.Wait()
		if e.tunnel.Ended().Err() == nil {
			t.Error("goes on although it said too much within a minute")
		}
	})
}

// A relay client that does not read its ids cannot serve anybody.
func TestControlConnectionIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newMemoryTunnel(t)
		defer e.control.Close()
		since := time.Now()
		o := <-e.user(t.Context())
		if !errors.Is(o.err, protocol.ErrTunnelEnded) || time.Since(since) != 10*time.Second {
			t.Errorf("after %v: got %v, want %v after 10s", time.Since(since), o.err, protocol.ErrTunnelEnded)
		}
		if e.tunnel.Ended().Err() == nil {
			t.Error("the tunnel goes on")
		}
	})
}

// The ids that wait to be written are bounded. Further users are refused, not
// kept.
func TestIDsThatAreNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newMemoryTunnel(t)
		defer e.control.Close()
		const most = 1000 // what is being written, and what is queued
		results := make(chan opened, most)
		for range most {
			go func() {
				conn, err := e.tunnel.Open(t.Context(), netip.AddrPort{})
				results <- opened{conn, err}
			}()
		}
		synctest.Wait()
		full := len(results)
		if full == 0 || full == most {
			t.Errorf("%d of %d users were refused while the ids before theirs were not read", full, most)
		}
		for range full {
			if o := <-results; !errors.Is(o.err, protocol.ErrFull) {
				t.Errorf("a user beyond the bound got %v, want %v", o.err, protocol.ErrFull)
			}
		}
		_ = e.tunnel.Close()
		for range most - full {
			if o := <-results; !errors.Is(o.err, protocol.ErrTunnelEnded) {
				t.Errorf("a waiting user got %v, want %v", o.err, protocol.ErrTunnelEnded)
			}
		}
	})
}
