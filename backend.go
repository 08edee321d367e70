package relay

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/time/rate"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/transport"
)

// backend is a local server, and how a forwarder treats it. It is the localEnd of services.
type backend struct {
	*Forwarder
	local       localServer
	unreachable rate.Sometimes // to log that the local server cannot be reached
	slow        rate.Sometimes // to log that it accepts slowly
	// proxyProtocol is the version of the header for the local server; 0 is none.
	proxyProtocol int
	// probeLocal has probes reach the local server.
	probeLocal bool
	prober     prober
	checker    *checker // or nil
	serving    serving  // whether users can be served

	// Only the keeper of the listener uses what follows.
	stopChecks context.CancelFunc
	checking   sync.WaitGroup
}

// newBackend returns a backend. The options have their defaults.
func (f *Forwarder) newBackend(localAddr string, o *Options) (*backend, error) {
	local, err := transport.ParseLocalAddr(localAddr)
	if err != nil {
		return nil, fmt.Errorf("relay: address of the local server: %w", err)
	}
	b := &backend{
		Forwarder:   f,
		local:       localServer{addr: local},
		unreachable: rate.Sometimes{First: 1, Interval: localLogInterval},
		slow:        rate.Sometimes{First: 1, Interval: localLogInterval},

		proxyProtocol: o.ProxyProtocol,
		probeLocal:    o.Probe == ProbeLocal,
	}
	if o.HealthCheck != nil {
		b.checker = newChecker(b, o.HealthCheck.withDefaults())
		b.serving.awaitFirst()
	}
	return b, nil
}

// isLike reports whether another backend does the same.
func (b *backend) isLike(other *backend) bool {
	if (b.checker == nil) != (other.checker == nil) || b.checker != nil && b.checker.HealthCheck != other.checker.HealthCheck {
		return false
	}
	return b.local.addr == other.local.addr && b.proxyProtocol == other.proxyProtocol && b.probeLocal == other.probeLocal
}

func (b *backend) said() *serving { return &b.serving }

func (b *backend) loop() *join.Loop { return b.joins.Loop() }

// start begins to check the local server, if the options say so.
func (b *backend) start() {
	if b.checker == nil {
		return
	}
	ctx, cancel := context.WithCancel(b.closed)
	b.stopChecks = cancel
	b.checking.Go(func() { b.checker.run(ctx) })
}

// stop has the checks end, and waits until they have.
func (b *backend) stop() {
	if b.checker != nil {
		b.stopChecks()
		b.checking.Wait()
	}
}
