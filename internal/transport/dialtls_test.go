package transport_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/transport"
)

// dialTLS dials a server that does to the connection what answer does, and returns the
// error.
func dialTLS(t *testing.T, config *tls.Config, answer func(net.Conn)) error {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if conn, err := l.Accept(); err == nil {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			answer(conn)
		}
	}()
	defer func() { _ = l.Close(); <-answered }()
	conn, err := transport.DialRelayTLS(t.Context(), l.Addr().String(), config)
	if err == nil {
		_ = conn.Reset()
	}
	return err
}

// serveTLS is a server with such a certificate.
func serveTLS(cert tls.Certificate, version uint16) func(net.Conn) {
	return func(conn net.Conn) {
		server := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: version})
		if server.Handshake() == nil {
			_, _ = io.Copy(io.Discard, server)
		}
	}
}

// Errors say what to do.
func TestDialTLSExplains(t *testing.T) {
	cert, roots := certify(t, nil)
	over := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	expired, expiredRoots := certify(t, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = over.Add(-time.Hour), over })
	early, earlyRoots := certify(t, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = over.AddDate(80, 0, 0), over.AddDate(90, 0, 0) })
	nameless, namelessRoots := certify(t, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil })
	pinned := errors.New("the relay has another key")
	never := func(tls.ConnectionState) error { return pinned } // the authority is verified first
	for name, tt := range map[string]struct {
		config *tls.Config
		answer func(net.Conn)
		want   []string
	}{
		"unknown authority": {&tls.Config{}, serveTLS(cert, 0), []string{"--tlsCa", "--tlsPin"}},
		"unknown authority, and a pin": {
			&tls.Config{RootCAs: x509.NewCertPool(), VerifyConnection: never}, serveTLS(cert, 0), []string{"leave --tlsCa out", "--tlsPin alone"},
		},
		"no name, and a pin": {
			&tls.Config{RootCAs: namelessRoots, VerifyConnection: never}, serveTLS(nameless, 0), []string{"no name", "leave --tlsCa out"},
		},
		"no name":          {&tls.Config{RootCAs: namelessRoots}, serveTLS(nameless, 0), []string{"no name", "use --tlsPin"}},
		"nothing is asked": {nil, serveTLS(cert, 0), []string{"--tlsCa", "--tlsPin"}},
		"another name":     {&tls.Config{RootCAs: roots, ServerName: "other.test"}, serveTLS(cert, 0), []string{"other.test", "relay.test"}},
		"expired":          {&tls.Config{RootCAs: expiredRoots}, serveTLS(expired, 0), []string{"expired on 2020-02-03 04:05:06"}},
		"not valid yet":    {&tls.Config{RootCAs: earlyRoots}, serveTLS(early, 0), []string{"2100-02-03 04:05:06", "clock"}},
		"another pin": {
			&tls.Config{RootCAs: roots, VerifyConnection: func(tls.ConnectionState) error { return pinned }},
			serveTLS(cert, 0), []string{pinned.Error()},
		},
		"old TLS":    {&tls.Config{RootCAs: roots}, serveTLS(cert, tls.VersionTLS12), []string{"TLS 1.3"}},
		"plain text": {&tls.Config{}, func(c net.Conn) { _, _ = io.WriteString(c, "220 mail.example ESMTP\r\n") }, []string{"does not speak TLS", "plain text"}},
		"closed":     {&tls.Config{}, func(net.Conn) {}, []string{"does not speak TLS", "closed"}},
		"ended": {&tls.Config{}, func(c net.Conn) {
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c)
		}, []string{"does not speak TLS", "closed"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := dialTLS(t, tt.config, tt.answer)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want it to hold %q", err, want)
				}
			}
		})
	}
}

// A silent relay is waited for until the context is done, and then the connection is
// reset.
func TestDialTLSIsCancelled(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := transport.DialRelayTLS(ctx, l.Addr().String(), nil)
		result <- err
	}()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := await(t, result); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, context.DeadlineExceeded) {
		t.Error("the connection is still open")
	}
}

func TestDialTLSToNobody(t *testing.T) {
	for _, addr := range []string{"127.0.0.1", "127.0.0.1:1"} {
		if _, err := transport.DialRelayTLS(t.Context(), addr, nil); err == nil {
			t.Errorf("connected to %s", addr)
		}
	}
}
