package node_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	client "github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/certificate"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/port"
)

// reconfigured is a relay that is told other settings.
type reconfigured struct {
	*testing.T
	admin *node.Admin
	addr  string
	now   node.Config
}

func startReconfigured(t *testing.T, c node.Config) *reconfigured {
	t.Helper()
	a, addr := startAdmin(t, c, node.AdminConfig{})
	c.Bind, c.Ports = "127.0.0.1", port.Range{First: 20000, Last: 29999}
	return &reconfigured{t, a, addr, c}
}

func (r *reconfigured) change(do func(*node.Config)) {
	r.Helper()
	next := r.now
	do(&next)
	if err := node.MayReconfigure(r.now, next); err != nil {
		r.Fatal(err)
	}
	node.Reconfigure(node.ServerOf(r.admin), r.now, next)
	r.now = next
}

// join connects as a user, and has a byte come back.
func (r *reconfigured) join(public net.Addr) net.Conn {
	r.Helper()
	c, err := net.Dial("tcp", public.String())
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(adminPatience))
	r.echo(c)
	return c
}

func (r *reconfigured) echo(c net.Conn) {
	r.Helper()
	if _, err := c.Write([]byte{1}); err != nil {
		r.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		r.Fatal(err)
	}
}

func TestReconfigureLimits(t *testing.T) {
	r := startReconfigured(t, node.Config{})
	public, _ := listen(t, r.admin, r.addr)
	first, second := r.join(public), r.join(public)
	r.change(func(c *node.Config) { c.Limits = admission.Limits{Users: 1} })
	refused, err := net.Dial("tcp", public.String())
	if err == nil {
		_ = refused.SetDeadline(time.Now().Add(adminPatience))
		_, err = refused.Read(make([]byte, 1))
		_ = refused.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a user beyond the lowered limit sees %v", err)
	}
	if i := slices.IndexFunc(r.admin.Limits(), func(l api.Limit) bool { return l.Name == "users" && l.Max == 1 }); i < 0 {
		t.Errorf("the limits are %+v", r.admin.Limits())
	}
	r.echo(first)
	r.echo(second)
	r.change(func(c *node.Config) { c.Limits = admission.Limits{Users: 10} })
	r.echo(r.join(public))
}

func TestReconfigurePorts(t *testing.T) {
	r := startReconfigured(t, node.Config{})
	public, _ := listen(t, r.admin, r.addr)
	user := r.join(public)
	other := port.Range{First: 30000, Last: 30999}
	r.change(func(c *node.Config) { c.Ports = other })
	l, err := client.Listen(t.Context(), r.addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := l.Addr().(client.Addr).Port; !other.Contains(got) {
		t.Errorf("the new tunnel has port %d, want one of %s", got, other)
	}
	r.echo(user) // who was there
	r.join(public)
}

// A tunnel in plain text ends when TLS is required, and one that is encrypted goes on.
func TestReconfigureRequireTLS(t *testing.T) {
	cert, err := certificate.New()
	if err != nil {
		t.Fatal(err)
	}
	r := startReconfigured(t, node.Config{TLS: certificate.ServerConfig{GetCertificate: certificate.Fixed(cert)}.TLS()})
	plain, _ := listen(t, r.admin, r.addr)
	secured, err := client.Listen(t.Context(), r.addr, &client.Options{TLS: &tls.Config{
		InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, //nolint:gosec // whose it is is not what this is about
	}})
	if err != nil {
		t.Fatal(err)
	}
	var echoing sync.WaitGroup
	echoing.Go(func() {
		for {
			c, err := secured.Accept()
			if err != nil {
				return
			}
			echoing.Go(func() { _, _ = io.Copy(c, c); _ = c.Close() })
		}
	})
	t.Cleanup(func() { _ = secured.Close(); echoing.Wait() }) // users end before
	user := r.join(secured.Addr())
	r.change(func(c *node.Config) { c.RequireTLS = true })
	stands := func(port int) bool {
		return slices.ContainsFunc(r.admin.Tunnels(), func(t api.Tunnel) bool { return t.Port == port && t.State != api.Away && t.State != api.Connecting })
	}
	wait(t, func() bool { return !stands(plain.(client.Addr).Port) }, func() any { return r.admin.Tunnels() })
	r.echo(user)
	r.join(secured.Addr())
}

func TestReconfigureProbe(t *testing.T) {
	r := startReconfigured(t, node.Config{})
	listen(t, r.admin, r.addr)
	state := func() api.State { return r.admin.Tunnels()[0].State }
	if got := state(); got != api.Unknown {
		t.Fatalf("without probes the tunnel is %s", got)
	}
	r.change(func(c *node.Config) { c.Probe = time.Hour })
	wait(t, func() bool { return state() == api.Up }, func() any { return state() })
	r.change(func(c *node.Config) { c.Probe = 0 })
	wait(t, func() bool { return state() == api.Unknown }, func() any { return state() })
	r.change(func(c *node.Config) { c.Probe = time.Hour })
	wait(t, func() bool { return state() == api.Up }, func() any { return state() })
}

// A load balancer is believed from the moment on in which it is trusted.
func TestReconfigureTrustedProxies(t *testing.T) {
	r := startReconfigured(t, node.Config{})
	public, _ := listen(t, r.admin, r.addr)
	r.join(public)
	r.change(func(c *node.Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	user, err := net.Dial("tcp", public.String())
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	_ = user.SetDeadline(time.Now().Add(adminPatience))
	if _, err := io.WriteString(user, "PROXY TCP4 192.0.2.1 192.0.2.2 1000 2000\r\n"); err != nil {
		t.Fatal(err)
	}
	r.echo(user)
	if !slices.ContainsFunc(r.admin.Users("", 10), func(u api.User) bool { return u.Address == "192.0.2.1:1000" }) {
		t.Errorf("the users are %+v", r.admin.Users("", 10))
	}
}

func TestWhoMayUseARelayIsNotReconfigured(t *testing.T) {
	r := startReconfigured(t, node.Config{})
	cert, err := certificate.New()
	if err != nil {
		t.Fatal(err)
	}
	next := r.now
	next.TLS = certificate.ServerConfig{GetCertificate: certificate.Fixed(cert), ClientCAs: x509.NewCertPool()}.TLS()
	if err := node.MayReconfigure(r.now, next); !errors.Is(err, node.ErrOpenness) {
		t.Errorf("an authority for an open relay: %v", err)
	}
	if err := node.MayReconfigure(next, r.now); !errors.Is(err, node.ErrOpenness) {
		t.Errorf("no authority any more: %v", err)
	}
	if err := node.MayReconfigure(next, next); err != nil {
		t.Error(err)
	}
}
