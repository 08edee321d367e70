package admin

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/seed96252745/relay/internal/crash"
)

// Access says who may use the API at a listener. The zero value is for a listener on
// loopback, where a browser and other users of the machine are let in.
type Access struct {
	// Owner is true where nobody but the owner of the process can connect: at the unix
	// socket.
	Owner bool
	// Token has to come with each request. Empty is none.
	Token string
	// Host is the name that the operator has the API listen on, if it is no address.
	Host string
	// GetCertificate returns the certificate of TLS. Nil is plain text.
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// door is the handler of one listener: it lets requests in, to the routes of its server.
type door struct {
	*Server
	Access
	mux    *http.ServeMux
	cross  http.CrossOriginProtection
	tokens *tokens
	shown  atomic.Pointer[x509.Certificate] // to the last client
}

// newDoor returns the handler of a listener. Strangers get no further than the page, which
// shows nothing without the API, and the answers to health checks.
func newDoor(s *Server, a Access) *door {
	d := &door{Server: s, Access: a, mux: http.NewServeMux(), tokens: newTokens(a.Token)}
	d.mux.HandleFunc("GET /healthz", s.healthz)
	d.mux.HandleFunc("GET /readyz", s.readyz)
	register(d.mux, d.sessionOperations())
	private := http.NewServeMux()
	register(private, s.operations())
	register(private, d.ownerOperations())
	private.HandleFunc("GET /readyz/{tunnel}", s.readyTunnel)
	private.HandleFunc("/", nothingHere)
	if s.Metrics != nil {
		private.Handle("/metrics", readOnly(s.Metrics))
	}
	if a.Owner || a.Token != "" {
		defineProfiles(private)
	} else {
		private.HandleFunc("/debug/", refuseProfiles)
	}
	for _, pattern := range []string{"/api/", "/debug/", "/metrics", "/readyz/"} {
		d.mux.Handle(pattern, d.authorized(private))
	}
	if s.Page != nil {
		d.mux.Handle("/", readOnly(s.Page))
	} else {
		d.mux.Handle("/", d.authorized(private))
	}
	return d
}

// ServeHTTP answers a request, or refuses it.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if value := recover(); value != nil {
			d.crashed(w, value)
		}
	}()
	protect(w.Header())
	if err := d.check(r); err != nil {
		answerError(w, err)
		return
	}
	d.mux.ServeHTTP(w, r)
}

// authorized passes on requests that have the token, where there is one.
func (d *door) authorized(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := d.authorize(r); err != nil {
			answerError(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// protect sets what holds for every answer, unless its handler says otherwise: nobody
// keeps it, shows it in a frame, or takes it for another kind of content.
func protect(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}

// crashed reports a panic of a handler, which ends this request and no other.
func (d *door) crashed(w http.ResponseWriter, value any) {
	if err, is := value.(error); is && errors.Is(err, http.ErrAbortHandler) {
		panic(value) // net/http closes the connection
	}
	e := crash.Caught(value)
	d.Log.Error("panic, a bug in Relay: it ended one request of the admin API", "panic", e.Value, "stack", e.Stack)
	answerError(w, refuse(http.StatusInternalServerError, "panic", "this is a bug in Relay: the log has more"))
}

// check refuses what another page has a browser send. At the unix socket there are no
// browsers.
func (d *door) check(r *http.Request) error {
	switch {
	case d.Owner:
		return nil
	case !d.isOurs(r):
		return refuse(http.StatusMisdirectedRequest, "wrong_host",
			"the admin API is not served under this name: use its address, localhost, the host of --adminListen, or a name in its certificate")
	case d.cross.Check(r) != nil || isCrossSite(r):
		return refuse(http.StatusForbidden, "cross_site", "another page has sent this request: use the page of this address, or a program")
	}
	return nil
}

// isOurs reports whether a request is for a name that is known to lead here. Anybody can
// have a name of his own lead to an address of this machine, and a browser then takes his
// page for ours (DNS rebinding). An address is no name, so nobody else has a page there.
func (d *door) isOurs(r *http.Request) bool {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "" {
		return !r.ProtoAtLeast(1, 1) // a browser always has one
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	cert := d.shown.Load()
	return host == "localhost" || host == strings.ToLower(d.Host) || cert != nil && cert.VerifyHostname(host) == nil
}

// isCrossSite reports whether a page of another origin has a browser read what is for
// programs and for our page. It could not see the answer, and would cause work.
func isCrossSite(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return false
	}
	return !isPage(r)
}

// isPage reports whether a path is of the page, where links from elsewhere may lead.
func isPage(r *http.Request) bool {
	for _, prefix := range []string{"/api/", "/debug/", "/metrics"} {
		if strings.HasPrefix(r.URL.Path, prefix) {
			return false
		}
	}
	return true
}

// tlsConfig returns the configuration of TLS, or nil.
func (d *door) tlsConfig() *tls.Config {
	if d.GetCertificate == nil {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := d.GetCertificate(hello)
		if err == nil && cert.Leaf != nil {
			d.shown.Store(cert.Leaf)
		}
		return cert, err
	}}
}
