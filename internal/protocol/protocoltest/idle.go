package protocoltest

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
)

// Idle tests a relay client behind proxies that close idle connections, as load balancers
// do, over an hour of simulated time for each. It may lose two connections to learn the
// proxy's idle timeout, and no more.
func Idle(t *testing.T, newRelay func() protocol.Relay, newClient func() protocol.Client) {
	for patience, mayLose := range map[time.Duration]int{
		time.Minute:      0,
		16 * time.Second: 0,
		10 * time.Second: 2,
		5 * time.Second:  2,
		3 * time.Second:  2,
	} {
		t.Run(patience.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &idleRig{T: t, relay: newRelay(), client: newClient(), proxy: patience, tunnels: make(chan registered, 1)}
				registration, tunnel := r.register()
				for range mayLose {
					pass(patience + time.Second)
					<-registration.Ended()
					_ = tunnel.Close()
					registration, tunnel = r.register()
				}
				for range 26 {
					r.user(registration, tunnel)
					pass(11500 * time.Millisecond)
				}
				pass(time.Hour)
				r.user(registration, tunnel)
				_ = registration.Close()
				_ = tunnel.Close()
				r.running.Wait()
			})
		})
	}
}

func pass(d time.Duration) { <-time.After(d) }

// idleRig is a relay and its client, with the proxy between.
type idleRig struct {
	*testing.T
	relay   protocol.Relay
	client  protocol.Client
	proxy   time.Duration // its idle timeout
	tunnels chan registered
	running sync.WaitGroup
}

func (r *idleRig) register() (*Registration, protocol.Session) {
	r.Helper()
	registration, err := Register(r.Context(), r.client, r.dial)
	if err != nil {
		r.Fatal(err)
	}
	at := <-r.tunnels
	if at.err != nil {
		r.Fatal(at.err)
	}
	return registration, at.tunnel
}

// user has a user come, and be served.
func (r *idleRig) user(registration *Registration, tunnel protocol.Session) {
	r.Helper()
	select {
	case <-registration.Ended():
		_, err := registration.Accept()
		r.Fatalf("the registration has ended: %v", err)
	default:
	}
	opened := make(chan conn.Conn, 1)
	r.running.Go(func() {
		user, err := tunnel.Open(r.Context(), netip.AddrPort{})
		if err != nil {
			r.Error(err)
		}
		opened <- user
	})
	served, err := registration.Accept()
	if err != nil {
		r.Fatal(err)
	}
	if user := <-opened; user != nil {
		defer func() { _ = user.Reset() }()
		go conntest.Write(r.T, user, "u") // a connection in memory has no buffer
		conntest.WantRead(r.T, served, "u")
	}
	_ = served.Reset()
}

// dial connects to the relay through the proxy.
func (r *idleRig) dial(context.Context) (conn.Conn, error) {
	client, clientSide := conntest.Memory()
	relaySide, relay := conntest.Memory()
	moved := make(chan struct{})
	ended := make(chan struct{})
	var pumps sync.WaitGroup
	for _, p := range [][2]conn.Conn{{clientSide, relaySide}, {relaySide, clientSide}} {
		pumps.Go(func() { pump(p[0], p[1], moved, ended) })
	}
	r.running.Go(func() {
		pumps.Wait()
		_, _ = clientSide.Reset(), relaySide.Reset()
	})
	r.running.Go(func() {
		defer func() { _, _ = clientSide.Close(), relaySide.Close() }()
		for {
			select {
			case <-moved:
			case <-ended:
				return
			case <-time.After(r.proxy):
				return
			}
		}
	})
	r.running.Go(func() { answer(r.T, r.relay, relay, r.tunnels) })
	return client, nil
}

// pump copies until either connection ends. It sends to moved each time, and then to ended.
func pump(from, to conn.Conn, moved chan<- struct{}, ended chan struct{}) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if err == nil {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			select {
			case ended <- struct{}{}:
			default: // it is over
			}
			return
		}
		select {
		case moved <- struct{}{}:
		default:
		}
	}
}
