package transport_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/transport"
)

// hidden is a connection that cannot be peeked at, and that has no socket.
type hidden struct{ conn.Conn }

// bothKinds tries a relay whose connections can be peeked at, and one whose
// connections cannot.
func bothKinds(t *testing.T, test func(*testing.T, func(conn.Conn) conn.Conn)) {
	t.Helper()
	t.Run("peek", func(t *testing.T) { test(t, func(c conn.Conn) conn.Conn { return c }) })
	t.Run("take", func(t *testing.T) { test(t, func(c conn.Conn) conn.Conn { return hidden{c} }) })
}

func TestSecure(t *testing.T) {
	bothKinds(t, func(t *testing.T, kind func(conn.Conn) conn.Conn) {
		relayConfig, clientConfig := configs(t)
		addr, result := listenTLS(t, relayConfig, func(conn conn.Conn, config *tls.Config) (conn.Conn, error) {
			return transport.RequireTLS(kind(conn), config)
		})
		client, err := transport.DialRelayTLS(t.Context(), addr, clientConfig)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Reset()
		relay := await(t, result)
		if relay.err != nil {
			t.Fatal(relay.err)
		}
		talk(t, client, relay.conn)
		talk(t, relay.conn, client)
	})
}

// talk sends one line from one end to the other.
func talk(t *testing.T, from, to io.ReadWriter) {
	t.Helper()
	const line = "multiplex\n"
	if _, err := io.WriteString(from, line); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(line))
	if _, err := io.ReadFull(to, got); err != nil || string(got) != line {
		t.Fatalf("got %q, %v", got, err)
	}
}

// Plain text is left alone, byte for byte, whatever reads it.
func TestSecureLeavesPlainTextAlone(t *testing.T) {
	bothKinds(t, func(t *testing.T, kind func(conn.Conn) conn.Conn) {
		relayConfig, _ := configs(t)
		addr, result := listenTLS(t, relayConfig, func(conn conn.Conn, config *tls.Config) (conn.Conn, error) {
			return transport.Secure(kind(conn), config)
		})
		client, err := transport.DialRelay(t.Context(), addr)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Reset()
		_ = client.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(client, "m"); err != nil {
			t.Fatal(err)
		}
		relay := await(t, result)
		if relay.err != nil {
			t.Fatal(relay.err)
		}
		if _, err := io.WriteString(client, "ultiplex\n"); err != nil {
			t.Fatal(err)
		}
		if n, err := relay.conn.Read(nil); n != 0 || err != nil {
			t.Errorf("reading nothing gives %d, %v", n, err)
		}
		got := make([]byte, len("multiplex\n"))
		if _, err := io.ReadFull(relay.conn, got); err != nil || string(got) != "multiplex\n" {
			t.Errorf("got %q, %v", got, err)
		}
		talk(t, relay.conn, client)
	})
}

func TestSecureGivesTheConnectionItself(t *testing.T) {
	conn, peer := pair(t, transport.ListenRelayClients, transport.DialRelay)
	if got, err := transport.Secure(conn, nil); got != conn || err != nil {
		t.Errorf("without a certificate: got %v, %v", got, err)
	}
	relayConfig, _ := configs(t)
	_, _ = peer.Write([]byte("x"))
	if got, err := transport.Secure(conn, relayConfig); got != conn || err != nil {
		t.Errorf("plain text: got %v, %v", got, err)
	}
	if got, err := transport.RequireTLS(conn, relayConfig); got != nil || !errors.Is(err, transport.ErrPlain) {
		t.Errorf("plain text where TLS is required: got %v, %v", got, err)
	}
	if got, err := transport.RequireTLS(conn, nil); got != nil || err == nil {
		t.Errorf("TLS is required, and there is no certificate: got %v, %v", got, err)
	}
}

// A relay client that sends nothing, or goes, is not waited for beyond the deadline.
func TestSecureWaits(t *testing.T) {
	bothKinds(t, func(t *testing.T, kind func(conn.Conn) conn.Conn) {
		relayConfig, _ := configs(t)
		for name, tt := range map[string]struct {
			do   func(peer conn.Conn)
			want error
		}{
			"says nothing":      {func(conn.Conn) {}, os.ErrDeadlineExceeded},
			"begins":            {func(p conn.Conn) { _, _ = p.Write([]byte{0x16, 3, 1}) }, os.ErrDeadlineExceeded},
			"ends":              {func(p conn.Conn) { _ = p.CloseWrite() }, io.EOF},
			"begins, then ends": {func(p conn.Conn) { _, _ = p.Write([]byte{0x16, 3, 1}); _ = p.CloseWrite() }, io.ErrUnexpectedEOF},
		} {
			conn, peer := pair(t, transport.ListenRelayClients, transport.DialRelay)
			_ = conn.SetDeadline(time.Now().Add(grace))
			if tt.want != os.ErrDeadlineExceeded {
				_ = conn.SetDeadline(time.Now().Add(patience))
			}
			tt.do(peer)
			if got, err := transport.Secure(kind(conn), relayConfig); got != nil || !errors.Is(err, tt.want) {
				t.Errorf("%s: got %v, %v; want %v", name, got, err, tt.want)
			}
		}
	})
}

// The error says why, and the peer is sent no more than an alert.
func TestSecureRefuses(t *testing.T) {
	relayConfig, clientConfig := configs(t)
	old := clientConfig.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	stranger := &tls.Config{ServerName: "relay.test"}
	for name, tt := range map[string]struct {
		client *tls.Config
		want   string
	}{
		"only speaks TLS 1.2":            {old, "unsupported versions"},
		"does not trust the certificate": {stranger, "bad certificate"},
	} {
		addr, result := listenTLS(t, relayConfig, transport.Secure)
		raw, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		tt.client.ServerName = "relay.test"
		if err := tls.Client(raw, tt.client).Handshake(); err == nil {
			t.Errorf("a client that %s is let in", name)
		}
		if got := await(t, result); got.err == nil || !strings.Contains(got.err.Error(), tt.want) {
			t.Errorf("a client that %s: got %v, want %q", name, got.err, tt.want)
		}
		_ = raw.Close()
	}
}

// A certificate authority that validates a name shows no certificate, and so it must not
// come in.
func TestSecureAnswersAuthoritiesOnly(t *testing.T) {
	relayConfig, clientConfig := configs(t)
	relayConfig.NextProtos = []string{"acme-tls/1"}
	clientConfig.NextProtos = []string{"acme-tls/1"}
	addr, result := listenTLS(t, relayConfig, transport.Secure)
	client, err := transport.DialRelayTLS(t.Context(), addr, clientConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Reset()
	if got := await(t, result); got.err == nil || !strings.Contains(got.err.Error(), "authority") {
		t.Errorf("got %v, %v", got.conn, got.err)
	}
}
