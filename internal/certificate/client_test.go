package certificate_test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/certificate"
)

// curl writes pins like this, and so does everybody.
func TestPin(t *testing.T) {
	relay := issue(t, nil, "relay")
	der, err := x509.MarshalPKIXPublicKey(relay.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	if got, want := certificate.Pin(relay.cert), "sha256//"+base64.StdEncoding.EncodeToString(sum[:]); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Which relays a client trusts, and no others.
func TestClientConfig(t *testing.T) {
	ca, otherCA := issue(t, nil, "ca"), issue(t, nil, "other ca")
	relay, stranger := issue(t, ca, "relay", "relay.test"), issue(t, nil, "relay", "relay.test")
	dir := t.TempDir()
	caFile, otherFile := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "other.pem")
	write(t, caFile, ca.certPEM, 0o644)
	write(t, otherFile, otherCA.certPEM, 0o644)
	pin, wrong := certificate.Pin(relay.cert), certificate.Pin(otherCA.cert)
	for name, tt := range map[string]struct {
		config certificate.ClientConfig
		relay  *identity
		want   string // in the error; empty means no error
	}{
		"an authority":                   {certificate.ClientConfig{CAFile: caFile, ServerName: "relay.test"}, relay, ""},
		"whom the system trusts":         {certificate.ClientConfig{ServerName: "relay.test"}, relay, "unknown authority"},
		"another authority":              {certificate.ClientConfig{CAFile: otherFile, ServerName: "relay.test"}, relay, "unknown authority"},
		"another name":                   {certificate.ClientConfig{CAFile: caFile, ServerName: "other.test"}, relay, "other.test"},
		"a pin":                          {certificate.ClientConfig{Pins: []string{pin}, ServerName: "any"}, relay, ""},
		"one pin of two":                 {certificate.ClientConfig{Pins: []string{wrong, pin}, ServerName: "any"}, relay, ""},
		"another pin":                    {certificate.ClientConfig{Pins: []string{wrong}, ServerName: "any"}, relay, pin},
		"a pin, and somebody else":       {certificate.ClientConfig{Pins: []string{pin}, ServerName: "relay.test"}, stranger, certificate.Pin(stranger.cert)},
		"an authority and a pin":         {certificate.ClientConfig{CAFile: caFile, Pins: []string{pin}, ServerName: "relay.test"}, relay, ""},
		"another authority, and the pin": {certificate.ClientConfig{CAFile: otherFile, Pins: []string{pin}, ServerName: "relay.test"}, relay, "unknown authority"},
		"the authority, and another pin": {certificate.ClientConfig{CAFile: caFile, Pins: []string{wrong}, ServerName: "relay.test"}, relay, pin},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := tt.config.TLS()
			if err != nil {
				t.Fatal(err)
			}
			server := certificate.ServerConfig{GetCertificate: certificate.Fixed(tt.relay.tls())}
			_, _, _, err = handshake(t, server.TLS(), config)
			if tt.want == "" && err != nil {
				t.Errorf("got %v", err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want it to hold %q", err, tt.want)
			}
		})
	}
}

func TestClientConfigIsRefused(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	write(t, empty, nil, 0o600)
	certFile, keyFile := issue(t, nil, "client").save(t, dir)
	good := certificate.Pin(issue(t, nil, "relay").cert)
	for name, config := range map[string]certificate.ClientConfig{
		"no CA file":            {CAFile: filepath.Join(dir, "none")},
		"an empty CA file":      {CAFile: empty},
		"half a pin":            {Pins: []string{good[:20]}},
		"a bare pin":            {Pins: []string{strings.TrimPrefix(good, "sha256//")}},
		"a good pin and none":   {Pins: []string{good, ""}},
		"a certificate alone":   {CertFile: certFile},
		"a key alone":           {KeyFile: keyFile},
		"a key that is no key":  {CertFile: certFile, KeyFile: empty},
		"a pin of another kind": {Pins: []string{"sha1//" + strings.TrimPrefix(good, "sha256//")}},
	} {
		if got, err := config.TLS(); err == nil {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// Clients with certificates have a name, others have none.
func TestPeerName(t *testing.T) {
	ca, otherCA := issue(t, nil, "ca"), issue(t, nil, "other ca")
	relay := issue(t, nil, "relay", "relay.test")
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	write(t, caFile, ca.certPEM, 0o644)
	pool, err := certificate.ReadAuthorities(caFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		client  *identity
		require bool
		want    string
		refused string
	}{
		"a DNS name":                          {client: issue(t, ca, "common", "first.test", "second.test"), want: "first.test"},
		"a common name":                       {client: issue(t, ca, "common"), require: true, want: "common"},
		"no certificate":                      {},
		"no certificate, and one is required": {require: true, refused: "certificate"},
		"a stranger's":                        {client: issue(t, otherCA, "common"), refused: "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			server := certificate.ServerConfig{
				GetCertificate: certificate.Fixed(relay.tls()), ClientCAs: pool, RequireClient: tt.require, Authority: true,
			}
			config := certificate.ClientConfig{Pins: []string{certificate.Pin(relay.cert)}, ServerName: "any"}
			if tt.client != nil {
				config.CertFile, config.KeyFile = tt.client.save(t, t.TempDir())
			}
			client, err := config.TLS()
			if err != nil {
				t.Fatal(err)
			}
			state, clientState, err, _ := handshake(t, server.TLS(), client)
			if tt.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("got %v, want it to hold %q", err, tt.refused)
				}
				return
			}
			if got := certificate.PeerName(state); got != tt.want || err != nil {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
			// A pin identifies a key, and not the name in its certificate.
			if got := certificate.PeerName(clientState); got != "" {
				t.Errorf("the client calls the relay %q", got)
			}
		})
	}
}

// An authority that validates the domain needs no certificate, but has to name its
// protocol. No other client is asked for a protocol.
func TestAuthority(t *testing.T) {
	relay := issue(t, nil, "relay", "relay.test")
	pool := x509.NewCertPool()
	server := certificate.ServerConfig{
		GetCertificate: certificate.Fixed(relay.tls()), ClientCAs: pool, RequireClient: true, Authority: true,
	}.TLS()
	client, err := certificate.ClientConfig{Pins: []string{certificate.Pin(relay.cert)}, ServerName: "relay.test"}.TLS()
	if err != nil {
		t.Fatal(err)
	}
	client.NextProtos = []string{"http/1.1", "acme-tls/1"}
	if state, _, err, _ := handshake(t, server, client); err != nil || state.NegotiatedProtocol != "acme-tls/1" {
		t.Errorf("got %q, %v", state.NegotiatedProtocol, err)
	}
	client.NextProtos = []string{"http/1.1"}
	if _, _, err, _ := handshake(t, server, client); err == nil {
		t.Error("a client without a certificate is let in")
	}
	server.ClientAuth = tls.NoClientCert
	if state, _, err, _ := handshake(t, server, client); err != nil || state.NegotiatedProtocol != "" {
		t.Errorf("got %q, %v", state.NegotiatedProtocol, err)
	}
}
