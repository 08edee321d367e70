package relay

import (
	"context"
	"crypto/tls"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/transport"
)

// relayDialer makes the connections of one registration. A name may resolve to several
// relays, or to another one than a minute ago, and only one of them has the registration.
// So the first connection goes to the name, and all others go to the same address.
type relayDialer struct {
	name  string      // "host:port", as the caller has given it
	avoid string      // an address to try after all others of the name, or ""
	tls   *tls.Config // with a server name; nil for plain text

	mu         sync.Mutex // guards what follows
	at         string     // address of the first connection; "" before
	registered bool
	latest     conn.Conn // below TLS, until registered
}

// elsewhereTimeout bounds the search for an address other than the one that has failed: it
// is half of what connecting may take.
const elsewhereTimeout = 5 * time.Second

// dial is a protocol.Dialer.
func (d *relayDialer) dial(ctx context.Context) (conn.Conn, error) {
	conn, err := d.connect(ctx)
	if err != nil || d.tls == nil {
		return conn, err
	}
	return transport.SecureRelay(ctx, conn, d.tls)
}

// start begins to connect. If that takes waiting c is nil, and wait does the rest.
func (d *relayDialer) start() (c conn.Conn, wait protocol.Dialer) {
	at := d.address()
	if at == "" || d.tls != nil {
		return nil, d.dial
	}
	return transport.StartRelay(at)
}

func (d *relayDialer) connect(ctx context.Context) (conn.Conn, error) {
	if at := d.address(); at != "" {
		conn, err := transport.DialRelay(ctx, at)
		if err == nil {
			d.note(conn)
		}
		return conn, err
	}
	conn := d.connectElsewhere(ctx)
	if conn == nil {
		var err error
		if conn, err = transport.DialRelay(ctx, d.name); err != nil {
			return nil, err
		}
	}
	d.note(conn)
	return conn, nil
}

// note notes a connection.
func (d *relayDialer) note(conn conn.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at == "" {
		d.at = conn.RemoteAddr().String()
	}
	if !d.registered {
		d.latest = conn
	}
}

// connectElsewhere returns nil if there is no address to avoid, or no other one that
// answers.
func (d *relayDialer) connectElsewhere(ctx context.Context) conn.Conn {
	if d.avoid == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, elsewhereTimeout)
	defer cancel()
	conn, err := transport.DialRelayElsewhere(ctx, d.name, d.avoid)
	if err != nil {
		return nil // connecting to the name returns an error, too, or succeeds
	}
	return conn
}

// address returns the address of the first connection, or "".
func (d *relayDialer) address() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at
}

// control returns the latest connection, which is the one that has registered: it is called
// once, after that.
func (d *relayDialer) control() conn.Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	latest := d.latest
	d.latest, d.registered = nil, true
	return latest
}
