package relay

import (
	"context"
	"crypto/tls"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/transport"
)

// relayDialer makes the connections of one registration. A name may lead to several
// relays, or to another one than a minute ago, and only one of them knows the
// registration; so the first connection goes to the name, and all others to where that
// one has gone.
type relayDialer struct {
	name  string      // "host:port", as the caller has given it
	avoid string      // an address that is tried after all others of the name; may be ""
	tls   *tls.Config // with a server name; or nil

	mu sync.Mutex // guards what follows
	at string     // where the first connection has gone; "" before
}

// elsewhereTimeout bounds the looking for another address than one that has failed:
// half of what connecting may take.
const elsewhereTimeout = 5 * time.Second

// dial is a protocol.Dialer.
func (d *relayDialer) dial(ctx context.Context) (conn.Conn, error) {
	conn, err := d.connect(ctx)
	if err != nil || d.tls == nil {
		return conn, err
	}
	return transport.SecureRelay(ctx, conn, d.tls)
}

func (d *relayDialer) connect(ctx context.Context) (conn.Conn, error) {
	if at := d.address(); at != "" {
		return transport.DialRelay(ctx, at)
	}
	conn := d.connectElsewhere(ctx)
	if conn == nil {
		var err error
		if conn, err = transport.DialRelay(ctx, d.name); err != nil {
			return nil, err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = conn.RemoteAddr().String()
	return conn, nil
}

// connectElsewhere gives nil if there is nothing to avoid, or no other address that
// answers.
func (d *relayDialer) connectElsewhere(ctx context.Context) conn.Conn {
	if d.avoid == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, elsewhereTimeout)
	defer cancel()
	conn, err := transport.DialRelayElsewhere(ctx, d.name, d.avoid)
	if err != nil {
		return nil // of which connecting to the name tells
	}
	return conn
}

// address gives where the first connection has gone, or "".
func (d *relayDialer) address() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at
}
