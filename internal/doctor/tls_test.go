package doctor_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/certificate"
	"github.com/seed96252745/relay/internal/doctor"
	"github.com/seed96252745/relay/internal/node"
)

// certify returns a certificate for localhost, and its key, as PEM.
func certify(t *testing.T, from, until time.Time) (cert, key []byte) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: until,
		DNSNames: []string{"localhost", "relay.example.com"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

// startTLS starts a relay with a certificate, and returns what trusts that.
func startTLS(t *testing.T, from, until time.Time) (addr string, trusts *tls.Config) {
	t.Helper()
	cert, key := certify(t, from, until)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	addr, _ = startRelay(t, node.Config{TLS: certificate.ServerConfig{GetCertificate: certificate.Fixed(pair)}.TLS()}, 4)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return addr, &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS13}
}

func TestCertificates(t *testing.T) {
	const days = 24 * time.Hour
	now := time.Now()
	for _, tt := range []struct {
		what        string
		from, until time.Time
		name        string
		status      doctor.Status
		parts       []string
	}{
		{"good", now.Add(-days), now.Add(90 * days), "localhost", doctor.OK, []string{"for localhost, relay.example.com, until "}},
		{"soon", now.Add(-days), now.Add(3*days + time.Hour), "localhost", doctor.Warning, []string{"that is in 3 days", "renew it"}},
		{"expired", now.Add(-9 * days), now.Add(-days), "localhost", doctor.Problem, []string{"expired on", "by the clock here it is"}},
		{"early", now.Add(days), now.Add(9 * days), "localhost", doctor.Problem, []string{"is valid from", "this clock is probably wrong"}},
		{"name", now.Add(-days), now.Add(90 * days), "other.example.com", doctor.Problem, []string{"for another name", "--tlsServerName", "relay.example.com"}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			addr, trusts := startTLS(t, tt.from, tt.until)
			trusts.ServerName = tt.name
			r := look(t, addr, looks{tls: trusts, protocols: []string{"multiplex"}})
			r.want(t, "relay", doctor.OK, "in plain text and in TLS")
			r.want(t, "encryption", tt.status, tt.parts...)
			r.arePrintable(t)
			if tt.status == doctor.Problem {
				r.skipped(t, "token", "port", "public port", "multiplex")
			} else {
				r.want(t, "multiplex", doctor.OK)
			}
		})
	}
}

func TestPin(t *testing.T) {
	own, err := certificate.New()
	if err != nil {
		t.Fatal(err)
	}
	config := node.Config{TLS: certificate.ServerConfig{GetCertificate: certificate.Fixed(own)}.TLS(), RequireTLS: true}
	addr, _ := startRelay(t, config, 4)
	other, err := certificate.New()
	if err != nil {
		t.Fatal(err)
	}
	pinned := func(c tls.Certificate) *tls.Config {
		config, err := certificate.ClientConfig{Pins: []string{certificate.Pin(c.Leaf)}}.TLS()
		if err != nil {
			t.Fatal(err)
		}
		return config
	}
	r := look(t, addr, looks{tls: pinned(own), pinned: true})
	r.want(t, "relay", doctor.OK, "in TLS alone")
	r.want(t, "encryption", doctor.OK, "the key of --tlsPin")
	for _, p := range []string{"multiplex", "pool", "event"} {
		r.want(t, p, doctor.OK)
	}
	r = look(t, addr, looks{tls: pinned(other), pinned: true})
	r.want(t, "encryption", doctor.Problem, "the relay's key does not match --tlsPin")
	r.skipped(t, "token", "port", "multiplex")

	r = look(t, addr, looks{})
	r.want(t, "relay", doctor.OK, "in TLS alone")
	r.want(t, "encryption", doctor.Problem, "--requireTls", "--tlsPin")

	plain, _ := startRelay(t, node.Config{}, 4)
	r = look(t, plain, looks{tls: pinned(own), pinned: true})
	r.want(t, "encryption", doctor.Problem, "the relay does not speak TLS")
}
