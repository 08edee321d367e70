package transport_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/transport"
)

// certify makes a certificate for relay.test and 127.0.0.1, and a pool that trusts it.
func certify(tb testing.TB, change func(*x509.Certificate)) (tls.Certificate, *x509.CertPool) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "relay.test"},
		DNSNames:     []string{"relay.test"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IsCA:         true, BasicConstraintsValid: true,
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots
}

// configs returns the settings of a relay and of a client that trusts it.
func configs(tb testing.TB) (relay, client *tls.Config) {
	tb.Helper()
	cert, roots := certify(tb, nil)
	return &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13,
		SessionTicketsDisabled: true, DynamicRecordSizingDisabled: true,
	}, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}
}

// secured is what has become of a connection at the relay.
type secured struct {
	conn conn.Conn
	err  error
}

// listenTLS accepts one connection, and does with it what a relay does.
func listenTLS(
	tb testing.TB, config *tls.Config, secure func(conn.Conn, *tls.Config) (conn.Conn, error),
) (addr string, result chan secured) {
	tb.Helper()
	l, err := transport.ListenRelayClients("127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	result = make(chan secured, 1)
	go func() {
		defer l.Close()
		conn, err := l.Accept()
		if err != nil {
			result <- secured{err: err}
			return
		}
		tb.Cleanup(func() { _ = conn.Reset() })
		_ = conn.SetDeadline(time.Now().Add(patience))
		safe, err := secure(conn, config)
		if err != nil {
			_ = conn.Close()
		}
		result <- secured{safe, err}
	}()
	tb.Cleanup(func() { _ = l.Close() })
	return l.Addr().String(), result
}

// tlsPair makes a connection with TLS between a relay and a client.
func tlsPair(tb testing.TB) (relay, client *transport.TLSConn) {
	tb.Helper()
	relayConfig, clientConfig := configs(tb)
	addr, result := listenTLS(tb, relayConfig, transport.Secure)
	dialed, err := transport.DialRelayTLS(tb.Context(), addr, clientConfig)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = dialed.Reset() })
	accepted := <-result
	if accepted.err != nil {
		tb.Fatal(accepted.err)
	}
	for _, conn := range []conn.Conn{accepted.conn, dialed} {
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			tb.Fatal(err)
		}
	}
	return accepted.conn.(*transport.TLSConn), dialed.(*transport.TLSConn)
}
