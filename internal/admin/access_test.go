package admin_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/admin"
	"github.com/seed96252745/relay/internal/certificate"
)

// A page under a name that leads to this machine, for which a browser takes the API's
// answers to be its own, gets none.
func TestHost(t *testing.T) {
	r := start(t, admin.Access{Host: "admin.example.com"})
	for host, ours := range map[string]bool{
		"127.0.0.1:8081": true, "127.0.0.1": true, "[::1]:8081": true, "[::1]": true, "192.0.2.7:1": true,
		"localhost:8081": true, "LocalHost.": true, "admin.example.com:8081": true, "Admin.Example.Com": true,
		"evil.example.com": false, "evil.example.com:8081": false, "localhost.evil.example.com": false,
		"127.0.0.1.evil.example.com": false, "admin.example.com.evil.example.com:8081": false, "x": false,
		"example.com": false, "2130706433": false, "0x7f000001": false,
	} {
		for _, path := range []string{"/api/v1/status", "/", "/metrics", "/healthz"} {
			answer := r.ask("GET", path, "", "Host: "+host)
			if ours {
				answer.wantStatus(t, http.StatusOK)
			} else {
				answer.wantError(t, http.StatusMisdirectedRequest, "wrong_host")
			}
		}
	}
}

// A program of the days before HTTP/1.1, as some health checks are, names no host.
func TestNoHost(t *testing.T) {
	r := start(t, admin.Access{})
	for request, want := range map[string]string{
		"GET /healthz HTTP/1.0\r\n\r\n":                               "HTTP/1.0 200 ",
		"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n":          "HTTP/1.1 400 ",
		"GET /healthz HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n": "HTTP/1.1 421 ",
	} {
		if got := talk(t, r, request); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %.100q, want %q", request, got, want)
		}
	}
}

// At the unix socket there are no browsers, and any host will do.
func TestOwner(t *testing.T) {
	r := start(t, admin.Access{Owner: true})
	r.ask("GET", "/api/v1/status", "", "Host: relay").wantStatus(t, http.StatusOK)
	r.ask("GET", "/debug/pprof/goroutine", "", "Host: relay").wantStatus(t, http.StatusOK)
}

// An upgrade starts a program: nobody but the owner of the process has it do that, whatever token
// they have.
func TestUpgradeIsTheOwners(t *testing.T) {
	const token = "0123456789abcdef"
	for _, tt := range []struct {
		access admin.Access
		want   int
	}{
		{admin.Access{Owner: true}, http.StatusOK},
		{admin.Access{}, http.StatusForbidden},
		{admin.Access{Token: token}, http.StatusForbidden},
	} {
		r := start(t, tt.access)
		r.ask("POST", "/api/v1/upgrade", "", "Authorization: Bearer "+token).wantStatus(t, tt.want)
	}
}

// Another page cannot have a browser change anything, or work for it.
func TestCrossSite(t *testing.T) {
	r := start(t, admin.Access{})
	const drain = "/api/v1/drain"
	for _, tt := range []struct {
		method, path, header string
		refused              bool
	}{
		{"POST", drain, "Sec-Fetch-Site: cross-site", true},
		{"POST", drain, "Sec-Fetch-Site: same-site", true},
		{"POST", drain, "Origin: https://evil.example.com", true},
		{"POST", drain, "Origin: null", true},
		{"POST", drain, "Origin: " + r.base + "0", true}, // another port
		{"POST", drain, "Sec-Fetch-Site: same-origin", false},
		{"POST", drain, "Sec-Fetch-Site: none", false},
		{"POST", drain, "Origin: " + r.base, false},
		{"POST", drain, "", false}, // a program
		{"DELETE", "/api/v1/users/u1", "Sec-Fetch-Site: cross-site", true},
		{"GET", "/api/v1/events", "Sec-Fetch-Site: cross-site", true},
		{"GET", "/api/v1/status", "Sec-Fetch-Site: same-site", true},
		{"GET", "/metrics", "Sec-Fetch-Site: cross-site", true},
		{"GET", "/api/v1/status", "Sec-Fetch-Site: same-origin", false},
		{"GET", "/", "Sec-Fetch-Site: cross-site", false}, // a link leads to the page
		{"POST", "/", "Sec-Fetch-Site: cross-site", true},
	} {
		answer := r.ask(tt.method, tt.path, "", tt.header)
		if tt.refused {
			answer.wantError(t, http.StatusForbidden, "cross_site")
		} else if answer.StatusCode/100 != 2 {
			t.Errorf("%s %s, %s: status %d", tt.method, tt.path, tt.header, answer.StatusCode)
		}
		if asked := r.node.take(); tt.refused && asked != "" {
			t.Errorf("%s %s, %s: the node is asked for %q", tt.method, tt.path, tt.header, asked)
		}
		if answer.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s %s: another page may read the answer", tt.method, tt.path)
		}
	}
}

// Profiles are for the owner, and for those with the token. The command line,
// where others have had secrets, is for nobody.
func TestProfiles(t *testing.T) {
	const token = "0123456789abcdef"
	open := start(t, admin.Access{})
	open.ask("GET", "/debug/pprof/heap", "").wantError(t, http.StatusForbidden, "needs_token")
	open.ask("GET", "/debug//pprof/heap", "").wantStatus(t, http.StatusTemporaryRedirect)
	closed := start(t, admin.Access{Token: token})
	closed.ask("GET", "/debug/pprof/heap", "").wantError(t, http.StatusUnauthorized, "unauthorized")
	for path, status := range map[string]int{
		"/debug/pprof/": 200, "/debug/pprof/heap?debug=1": 200, "/debug/pprof/profile?seconds=1": 200,
		"/debug/pprof/profile?seconds=1e9": 400, "/debug/pprof/heap?seconds=-1": 400, "/debug/pprof/trace?seconds=121": 400,
		"/debug/pprof/cmdline": 404, "/debug/nothing": 404,
	} {
		closed.ask("GET", path, "", "Authorization: Bearer "+token).wantStatus(t, status)
	}
}

// Every answer says that it is kept by nobody, and shown by no other page.
func TestHeaders(t *testing.T) {
	r := start(t, admin.Access{})
	for _, path := range []string{"/api/v1/status", "/api/v1/nothing", "/healthz", "/metrics"} {
		h := r.ask("GET", path, "").Header
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Referrer-Policy": "no-referrer",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q, want %q", path, name, h.Get(name), want)
			}
		}
	}
}

// Over TLS the names of the certificate are ours too.
func TestTLS(t *testing.T) {
	const name = "relay.example.com"
	own := issue(t, name)
	r := start(t, admin.Access{Token: "0123456789abcdef", GetCertificate: certificate.Fixed(own)})
	pool := x509.NewCertPool()
	pool.AddCert(own.Leaf)
	r.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: pool, ServerName: name}
	r.base = strings.Replace(r.base, "http:", "https:", 1)
	r.ask("GET", "/healthz", "", "Host: "+name).wantStatus(t, http.StatusOK)
	r.ask("GET", "/healthz", "", "Host: evil.example.com").wantError(t, http.StatusMisdirectedRequest, "wrong_host")
	answer := r.ask("POST", "/api/v1/session", `{"token": "0123456789abcdef"}`, isJSON)
	answer.wantStatus(t, http.StatusNoContent)
	if c := answer.Cookies(); len(c) != 1 || !strings.HasPrefix(c[0].Name, "__Host-") || !c[0].Secure {
		t.Errorf("the cookie is %v", c)
	}
	plain := strings.Replace(r.base, "https:", "http:", 1)
	if got := talk(t, &rig{TB: t, base: plain}, "GET /healthz HTTP/1.0\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.0 400 ") {
		t.Errorf("in plain text: %.100q", got)
	}
}

// issue returns a certificate for a name.
func issue(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// talk sends a request as it is, and returns all that comes back.
func talk(t *testing.T, r *rig, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return exchange(t, conn, request)
}
