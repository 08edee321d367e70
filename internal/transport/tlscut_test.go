package transport_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/transport"
)

// between is an attacker on the wire: both directions go through as they are, until the
// relay's is cut.
type between struct {
	toClient, toRelay *net.TCPConn
}

// tapped makes a connection with TLS through the attacker.
func tapped(t *testing.T) (relay, client *transport.TLSConn, wire between) {
	t.Helper()
	relayConfig, clientConfig := configs(t)
	addr, result := listenTLS(t, relayConfig, transport.Secure)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	joined := make(chan between, 1)
	go func() {
		defer close(joined)
		toRelay, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		toClient, err := l.Accept()
		if err != nil {
			return
		}
		w := between{toClient.(*net.TCPConn), toRelay.(*net.TCPConn)}
		go func() { _, _ = io.Copy(w.toRelay, io.LimitReader(w.toClient, 1<<40)) }()
		go func() { _, _ = io.Copy(w.toClient, io.LimitReader(w.toRelay, 1<<40)) }()
		joined <- w
	}()
	dialed, err := transport.DialRelayTLS(t.Context(), l.Addr().String(), clientConfig)
	if err != nil {
		t.Fatal(err)
	}
	wire = await(t, joined)
	accepted := await(t, result)
	if accepted.err != nil {
		t.Fatal(accepted.err)
	}
	t.Cleanup(func() {
		_, _ = dialed.Reset(), accepted.conn.Reset()
		_, _ = wire.toClient.Close(), wire.toRelay.Close()
	})
	_ = dialed.SetDeadline(time.Now().Add(patience))
	return accepted.conn.(*transport.TLSConn), dialed.(*transport.TLSConn), wire
}

// An end of TCP without close_notify may be an attacker's, for whom half an answer is to
// pass for a whole one.
func TestTLSTruncation(t *testing.T) {
	relay, client, wire := tapped(t)
	if _, err := io.WriteString(relay, "half an answer"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(client, make([]byte, len("half an answer"))); err != nil {
		t.Fatal(err)
	}
	_ = wire.toClient.CloseWrite() // between two records
	for range 2 {
		_, err := client.Read(make([]byte, 1))
		if errors.Is(err, io.EOF) || !errors.Is(err, conn.ErrTruncated) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v, want %v", err, conn.ErrTruncated)
		}
	}
}

func TestTLSTruncationWithinARecord(t *testing.T) {
	_, client, wire := tapped(t)
	if _, err := wire.toClient.Write([]byte{0x17, 3, 3, 0, 100, 1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	_ = wire.toClient.CloseWrite()
	if n, err := client.Read(make([]byte, 1)); n != 0 || !errors.Is(err, conn.ErrTruncated) {
		t.Errorf("got %d bytes, %v, want %v", n, err, conn.ErrTruncated)
	}
}

// What an attacker has written is neither data nor an end.
func TestTLSForgery(t *testing.T) {
	for name, record := range map[string][]byte{
		"data":         {0x17, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20},
		"close_notify": {0x15, 3, 3, 0, 2, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, client, wire := tapped(t)
			if _, err := wire.toClient.Write(record); err != nil {
				t.Fatal(err)
			}
			n, err := client.Read(make([]byte, 100))
			if n != 0 || err == nil || errors.Is(err, io.EOF) {
				t.Errorf("got %d bytes, %v, want a failure", n, err)
			}
		})
	}
}

// After close_notify nothing more is to come, whatever TCP does.
func TestTLSEndIsCloseNotify(t *testing.T) {
	relay, client, wire := tapped(t)
	if err := relay.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if n, err := client.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("got %d bytes, %v, want the end", n, err)
		}
		_ = wire.toClient.SetLinger(0)
		_ = wire.toClient.Close()
	}
}

// crypto/tls itself takes such an end for an end of the data, which is why there is
// ciphertext. If this test fails some day, ciphertext may go.
func TestCryptoTLSBelievesTruncation(t *testing.T) {
	relayConfig, clientConfig := configs(t)
	addr, result := listenTLS(t, relayConfig, transport.Secure)
	clientConfig.ServerName = "relay.test"
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.SetDeadline(time.Now().Add(patience))
	client := tls.Client(raw, clientConfig)
	defer client.Close()
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	relay := await(t, result)
	if relay.err != nil {
		t.Fatal(relay.err)
	}
	_ = raw.(*net.TCPConn).CloseWrite() // without close_notify
	if n, err := relay.conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, conn.ErrTruncated) {
		t.Errorf("the relay got %d bytes, %v, want %v", n, err, conn.ErrTruncated)
	}
}
