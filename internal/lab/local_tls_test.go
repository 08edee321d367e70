//go:build lab && linux

package lab_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/checker"
)

// authority signs certificates.
type authority struct {
	t      *testing.T
	dir    string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	serial int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert = &x509.Certificate{
		Subject: pkix.Name{CommonName: "lab"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert, a.key = a.sign(a.cert, nil)
	a.put("ca.crt", "CERTIFICATE", a.cert.Raw)
	return a
}

// sign makes a certificate that is good for an hour, unless it says otherwise.
func (a *authority) sign(template *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if by == nil {
		by = key // its own
	}
	a.serial++
	template.SerialNumber = big.NewInt(a.serial)
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), by)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) put(name, kind string, der []byte) (path string) {
	a.t.Helper()
	path = filepath.Join(a.dir, name)
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		a.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// issue gives the options with a certificate for this name.
func (a *authority) issue(file, name string, change func(*x509.Certificate)) []string {
	a.t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}}
	if change != nil {
		change(template)
	}
	cert, key := a.sign(template, a.key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return []string{
		"--tlsKey=" + a.put(file+".key", "PRIVATE KEY", der),
		"--tlsCert=" + a.put(file+".crt", "CERTIFICATE", cert.Raw),
	}
}

func (a *authority) trusted() string { return "--tlsCa=" + filepath.Join(a.dir, "ca.crt") }

func expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
}

const relayName = "relay.test"

// complaint starts a forwarder, and returns the first reason that it logs for not being
// registered.
func complaint(t *testing.T, relayAddr string, args ...string) (text string) {
	t.Helper()
	host, port, err := net.SplitHostPort(relayAddr)
	if err != nil {
		t.Fatal(err)
	}
	p := localStart(t, binary(t, "relay"), append([]string{"--localForwardPort=9", "--keepTrying", "--logFormat=json", host, port}, args...)...)
	p.line(0, "why it is not registered", func(line string) bool {
		var entry struct{ Msg, Error string }
		if json.Unmarshal([]byte(line), &entry) != nil || !strings.HasPrefix(entry.Msg, "not registered") {
			return false
		}
		text = entry.Error
		return true
	})
	return text
}

// A peer that cannot be trusted is not. The forwarder says so once and clearly, and the
// relay tells its peer no more than a TLS alert does.
func TestRow42TLS(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	good := ca.issue("good", relayName, nil)
	named := []string{ca.trusted(), "--tlsServerName=" + relayName}
	client := func(file, name string, change func(*x509.Certificate)) []string {
		return append(ca.issue(file, name, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
			if change != nil {
				change(c)
			}
		}), named...)
	}
	byCertificate := append([]string{"--tlsClientCa=" + filepath.Join(ca.dir, "ca.crt"), "--requireTls"}, good...)
	for _, c := range []struct {
		name, fault      string
		relay, forwarder []string
		want             []string
	}{
		{"expired", "the relay's certificate has expired", ca.issue("expired", relayName, expired), named, []string{"expired"}},
		{"name", "the relay's certificate is for another name", good, []string{ca.trusted()}, []string{"certificate", "tlsServerName"}},
		{"authority", "no trusted authority vouches for the relay", good, []string{other.trusted(), "--tlsServerName=" + relayName}, []string{"unknown authority"}},
		{"pin", "the relay has another key than was pinned", good, []string{"--tlsPin=sha256//" + strings.Repeat("A", 43) + "="}, []string{"pin"}},
		{"plain", "the relay requires TLS, and the client does not speak it", append([]string{"--requireTls"}, good...), nil, []string{"--tls"}},
		{"client-none", "a client certificate is required, and missing", byCertificate, named, []string{"unauthorized"}},
		{"client-other", "the client's certificate is from another authority", byCertificate,
			append(other.issue("stranger", "stranger", nil), named...), []string{"unknown certificate authority", "--tlsCert"}},
		{"client-expired", "the client's certificate has expired", byCertificate, client("late", "late", expired), []string{"expired", "--tlsCert"}},
	} {
		t.Run("row42_tls-"+c.name+"/any", func(t *testing.T) {
			_, addr := localRelay(t, c.relay...)
			got := complaint(t, addr, c.forwarder...)
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("the forwarder says %q, which does not say %q", got, want)
				}
			}
			advice, _, _ := strings.Cut(got, " (tls:") // and what crypto/tls says itself
			record(t, "42", c.fault, "local authority", fmt.Sprintf("the forwarder says %q", advice))
		})
	}
	t.Run("row42_tls-1.2/any", func(t *testing.T) {
		_, addr := localRelay(t, good...)
		roots := x509.NewCertPool()
		roots.AddCert(ca.cert)
		var said []string
		for _, version := range []uint16{tls.VersionTLS11, tls.VersionTLS12} {
			conn, err := tls.Dial("tcp", addr, &tls.Config{
				RootCAs: roots, ServerName: relayName, MinVersion: tls.VersionTLS10, MaxVersion: version,
			})
			if err == nil {
				_ = conn.Close()
				t.Fatalf("the relay speaks %s", tls.VersionName(version))
			}
			said = append(said, fmt.Sprintf("%s: %q", tls.VersionName(version), err))
		}
		record(t, "42", "the client speaks no TLS 1.3", "crypto/tls", "refused: "+strings.Join(said, ", "))
	})
	t.Run("row42_tls-good/any", func(t *testing.T) {
		_, addr := localRelay(t, byCertificate...)
		p := newLocalPlay(t)
		_, public := localForwarder(t, addr, p.local, "multiplex", client("db1", "db1", nil)...)
		p.used(public, "--users=5", "--parallel=5", "--modes=echo", "--up=1000")
		record(t, "42", "none: a client certificate that is good", "local authority", "served without a token")
	})
}

// The relay gets a new certificate while users come and go. Connections that are there
// stay, and new ones see the new certificate.
func TestRow42Renewal(t *testing.T) {
	eachLocal(t, "row42_tls-renewal", func(t *testing.T, protocol string) {
		t.Parallel() // it waits, mostly
		ca := newAuthority(t)
		args := ca.issue("relay", relayName, nil)
		r := newLocalRig(t, protocol, localSetup{
			relay:     append([]string{"--requireTls"}, args...),
			forwarder: []string{ca.trusted(), "--tlsServerName=" + relayName},
		})
		users := r.use(r.public, append(leaseUsers, "--duration=8s")...)
		long := r.use(r.public, "--users=5", "--parallel=5", "--modes=idle", "--linger=7s", "--up=1000")
		shown := func() int64 {
			roots := x509.NewCertPool()
			roots.AddCert(ca.cert)
			conn, err := tls.Dial("tcp", r.relayAddr, &tls.Config{RootCAs: roots, ServerName: relayName})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
		}
		rawWait(time.Second)
		const renewals = 3
		var slowest time.Duration
		for range renewals {
			since := time.Now()
			ca.issue("relay", relayName, nil)
			until(t, "the new certificate is shown", func() bool { return shown() == ca.serial })
			slowest = max(slowest, time.Since(since))
		}
		if !users.wait() || !long.wait() {
			t.Error("users failed")
		}
		s := r.verify(checker.Rules{})
		if s.Complete != s.Users {
			t.Errorf("%d of %d users are complete", s.Complete, s.Users)
		}
		record(t, "42", "the relay's certificate is renewed under load", "files replaced, three times",
			fmt.Sprintf("%d of %d users complete, none dropped; the new one is shown after %s at most", s.Complete, s.Users, ms(slowest)))
	})
}
