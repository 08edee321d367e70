package relay_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/proxyproto"
	"github.com/seed96252745/relay/internal/wire"
)

// poolRelay is a relay whose relay client has a pool.
type poolRelay struct {
	*testing.T
	wish  chan wire.Preamble
	first chan *net.TCPConn // of each pool, which has registered
	conns chan *net.TCPConn // of all pools, the others
}

// startPoolRelay returns a relay that grants each registration, and its address.
func startPoolRelay(t *testing.T) (*poolRelay, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &poolRelay{T: t, wish: make(chan wire.Preamble, 100), first: make(chan *net.TCPConn, 100), conns: make(chan *net.TCPConn, 100)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.greet(c.(*net.TCPConn))
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
		close(r.conns)
		close(r.first)
		for c := range r.conns {
			_ = c.Close()
		}
		for c := range r.first {
			_ = c.Close()
		}
	})
	return r, l.Addr().String()
}

// greet grants a registration, or adds a connection to the pool.
func (r *poolRelay) greet(c *net.TCPConn) {
	_ = c.SetDeadline(time.Now().Add(patience))
	req, err := wire.ReadRequest(wire.NewReader(c), []wire.Verb{{Name: "pool", Claims: true}})
	if err != nil {
		r.Error(err)
		return
	}
	if req.IsClaim() {
		r.conns <- c
		return
	}
	wish, err := wire.ParsePreamble(req.Options)
	if err != nil {
		r.Error(err)
	}
	r.wish <- wish
	_, _ = io.WriteString(c, "20001\nID\n")
	r.first <- c
}

// take takes a connection of the pool, and writes on it.
func (r *poolRelay) take(b []byte) *net.TCPConn {
	r.Helper()
	c := within(r.T, r.conns, "a connection of the pool")
	r.Cleanup(func() { _ = c.Close() })
	conntest.Write(r.T, c, string(b))
	return c
}

// channel opens another control channel, on which the relay client has to say this first.
func (r *poolRelay) channel(said string) *net.TCPConn {
	r.Helper()
	c := r.take(proxyproto.ControlHeader())
	conntest.WantRead(r.T, c, said)
	return c
}

// forwardFrom forwards from such a relay to a server that is checked. Stop ends that, and waits
// until it has ended.
func forwardFrom(t *testing.T, addr, local string, o relay.Options) (stop func()) {
	t.Helper()
	o.Protocol, o.PoolSize, o.Probe = relay.Pool, 2, relay.ProbeOff
	if o.HealthCheck == nil {
		o.HealthCheck = &relay.HealthCheck{Interval: time.Second}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- relay.Forward(ctx, addr, local, &o) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// A relay that sends what it likes on control channels ends those, and nothing else. On each
// new one it is told what holds, and it has one at a time.
func TestRelayMisusesControlChannel(t *testing.T) {
	r, addr := startPoolRelay(t)
	local := "127.0.0.1:" + conntest.FreePort(t)
	stop := forwardFrom(t, addr, local, relay.Options{Drain: -1})
	defer stop()
	if wish := <-r.wish; wish.Control != wire.ControlDown {
		t.Errorf("it registers with %+v, and knows nothing of its server", wish)
	}
	const down = "down refused\n"
	first := r.channel(down)
	second := r.channel(down)
	conntest.WantReset(t, first)
	for _, junk := range []string{"\x00", strings.Repeat("x", 65), strings.Repeat("later words\n", 61)} {
		conntest.Write(t, second, junk)
		conntest.WantReset(t, second)
		second = r.channel(down)
	}
	conntest.Write(t, second, "later words\n") // which it ignores
	l, err := net.Listen("tcp", local)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conntest.WantRead(t, second, "up\n")
	r.channel("up\n")
}

// A forwarder that ends says so first, and serves users who are on their way, until the relay
// has no more.
func TestForwarderLeaves(t *testing.T) {
	for name, answer := range map[string]func(channel *net.TCPConn) error{
		"answered":            func(c *net.TCPConn) error { _, err := io.WriteString(c, "left\n"); return err },
		"channel is lost":     func(c *net.TCPConn) error { return c.Close() },
		"relay is frozen":     func(*net.TCPConn) error { return nil },
		"answered many times": func(c *net.TCPConn) error { _, err := io.WriteString(c, "left\nleft\nleft\n"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, addr := startPoolRelay(t)
			local, _ := echoing(t)
			stop := forwardFrom(t, addr, local, relay.Options{})
			channel := r.channel("up\n")
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				stop()
			}()
			conntest.WantRead(t, channel, "leave\n")
			header, err := proxyproto.HeaderWithDetails(channel.LocalAddr(), channel.RemoteAddr(), proxyproto.Details{})
			if err != nil {
				t.Fatal(err)
			}
			user := r.take(append(header, "hello"...))
			conntest.WantRead(t, user, "hello")
			if err := answer(channel); err != nil {
				t.Error(err)
			}
			_ = user.CloseWrite()
			within(t, ended, "the forwarder to end")
			if _, err := io.ReadAll(user); err != nil {
				t.Errorf("the user is cut off: %v", err)
			}
		})
	}
}

// A user who does not reach a server that was up has it checked at once, and not at the next
// interval only.
func TestServerIsCheckedOnceUserFails(t *testing.T) {
	r, addr := startPoolRelay(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stop := forwardFrom(t, addr, l.Addr().String(), relay.Options{Drain: -1, HealthCheck: &relay.HealthCheck{Interval: time.Hour}})
	defer stop()
	channel := r.channel("up\n")
	_ = l.Close()
	header, err := proxyproto.HeaderWithDetails(channel.LocalAddr(), channel.RemoteAddr(), proxyproto.Details{})
	if err != nil {
		t.Fatal(err)
	}
	conntest.WantReset(t, r.take(header))
	conntest.WantRead(t, channel, "down refused\n")
}

// A relay client that is told to move registers anew, at once. Where each registration is told
// so it does it seldom in the end.
func TestRelaySaysMove(t *testing.T) {
	t.Parallel()
	r, addr := startPoolRelay(t)
	local, _ := echoing(t)
	stop := forwardFrom(t, addr, local, relay.Options{Drain: -1})
	defer stop()
	since := time.Now()
	const atOnce = 10
	for range atOnce + 1 {
		c := within(t, r.first, "a registration")
		defer c.Close()
		conntest.Write(t, c, string(proxyproto.ControlHeader())+"move\nmove\n")
	}
	_ = within(t, r.first, "the last registration").Close()
	if took := time.Since(since); took < 4*time.Second {
		t.Errorf("%d registrations have come within %v", atOnce+2, took)
	}
}
