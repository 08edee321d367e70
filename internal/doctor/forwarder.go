package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"time"
)

// Resolver finds the addresses of a name. A *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Ask is what a tunnel is opened with.
type Ask struct {
	Addr     string // of the relay: the one of its addresses that is looked at
	Protocol string
	Port     int // 0 for any
}

// Forwarder looks from the forwarder's side. The zero value of a field is its default.
type Forwarder struct {
	Host string // of the relay
	Port int    // its control port

	// Resolver is net.DefaultResolver by default.
	Resolver Resolver
	// TLS is how the relay is verified. Nil is plain text.
	TLS *tls.Config
	// Pinned reports that the key of the relay is all that TLS verifies: until when its
	// certificate is good does not matter.
	Pinned bool
	// Token reports that a token is shown.
	Token bool
	// Protocols are those that are tried, in this order, each with a tunnel of its own. At
	// least one. The relay keeps a pool for a minute after its end, and with it one of the
	// tunnels that a token may have, so that comes last.
	Protocols []string
	// Use is the protocol that the forwarder uses. The first one is the default.
	Use string
	// PublicPort is the port to ask for, or 0.
	PublicPort int
	// Listen opens a tunnel of its own, without a lease: the relay closes the port when
	// the listener is closed. Connections that it accepts are [conn.Conn]s. A refusal is a
	// *wire.Refusal.
	Listen func(context.Context, Ask) (net.Listener, error)
	// Local is the address of the local server, or "".
	Local string
	// ProxyProtocol is the version that the local server is sent, or 0.
	ProxyProtocol int
	// Idle is for how long idle connections are looked at, or 0 for not at all.
	Idle time.Duration
	// Wait is how long a peer may take to accept or to answer: 5 s by default, in which two
	// SYNs follow the first one.
	Wait time.Duration
	// Patience is how long bytes may stand still: 8 s by default, in which a segment is sent
	// five times.
	Patience time.Duration

	// What the checks have found, for those that follow.
	addrs    []netip.Addr // of the relay
	addr     string       // that has answered, "ip:port"
	is       peer
	tunnel   *tunnel // of the first protocol
	opened   error   // why there is none
	asked    error   // why PublicPort could not be had
	stalled  bool    // large segments do not pass
	unusable bool    // the public port cannot be reached
	measured []protocolFigures
}

// peer is what is at the relay's port.
type peer struct {
	relay bool // it speaks Relay, in one of these:
	plain bool
	tls   bool
	chain []*x509.Certificate // that it shows in TLS; unverified
}

const (
	usualWait     = 5 * time.Second
	usualPatience = 8 * time.Second
)

// Checks lists the checks, in the order in which each needs those before it. Close has to
// follow the run.
func (f *Forwarder) Checks() []Check {
	f.setDefaults()
	checks := []Check{
		{"name", 2 * f.Wait, f.resolve},
		{"connect", f.Wait + time.Second, f.connect},
		{"relay", 6 * f.Wait, f.identify}, // two questions in two ways, each after connecting
		{"encryption", 2 * f.Wait, f.encryption},
		{"token", 2 * registerTimeout, f.token}, // with and without the port
		{"port", time.Second, f.port},
		{"public port", 3 * f.Wait, f.publicPort},
		{"large packets", 2*f.Wait + 3*f.Patience, f.largePackets},
	}
	for _, p := range f.Protocols {
		run := func(ctx context.Context) Finding { return f.protocol(ctx, p) }
		checks = append(checks, Check{p, registerTimeout + bytesTimeout, run})
	}
	checks = append(checks, Check{"protocol", time.Second, f.recommend})
	checks = append(checks, Check{"local server", 2 * f.Wait, f.localServer})
	return append(checks, Check{"idle", f.Idle + poolKept + registerTimeout + 2*f.Wait, f.idle})
}

func (f *Forwarder) setDefaults() {
	f.Use = cmp.Or(f.Use, f.Protocols[0])
	f.Wait = cmp.Or(f.Wait, usualWait)
	f.Patience = cmp.Or(f.Patience, usualPatience)
	if f.Resolver == nil {
		f.Resolver = net.DefaultResolver
	}
}

// Close gives the port back.
func (f *Forwarder) Close() {
	if f.tunnel != nil {
		f.tunnel.close()
		f.tunnel = nil
	}
}

// unanswered is why a check is skipped that needs a relay.
const unanswered = "there is no relay to ask: see above"
