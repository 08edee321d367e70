package join_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/transport"
)

// tlsPair returns TLS as the relay has it, near, and an ordinary peer.
func tlsPair(tb testing.TB) (near conn.Conn, far peerTLS) {
	tb.Helper()
	relay, client := tlsConfigs(tb)
	below, peer := conntest.Pair(tb)
	secured := make(chan error, 1)
	go func() {
		conn, err := transport.RequireTLS(below, relay)
		near = conn
		secured <- err
	}()
	far = dialOver(tb, peer, client)
	if err := <-secured; err != nil {
		tb.Fatal(err)
	}
	return near, far
}

// peerTLS is a TLS client that can reset.
type peerTLS struct {
	*tls.Conn
	below *transport.Conn
}

func (p peerTLS) CloseWrite() error {
	if err := p.Conn.CloseWrite(); err != nil {
		return err
	}
	return p.below.CloseWrite()
}

func (p peerTLS) Reset() error { return p.below.Reset() }

func dialOver(tb testing.TB, below *transport.Conn, config *tls.Config) peerTLS {
	tb.Helper()
	client := tls.Client(below, config)
	if err := client.Handshake(); err != nil {
		tb.Fatal(err)
	}
	return peerTLS{client, below}
}

// tlsConfigs returns the settings of a relay, and of a client that trusts it.
func tlsConfigs(tb testing.TB) (relay, client *tls.Config) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"relay.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
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
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS13, SessionTicketsDisabled: true, DynamicRecordSizingDisabled: true,
	}, &tls.Config{RootCAs: roots, ServerName: "relay.test", MinVersion: tls.VersionTLS13, DynamicRecordSizingDisabled: true}
}
