package forwarder_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/cmd/relay/forwarder"
	"github.com/seed96252745/relay/internal/admin"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/relaytest"
)

// patience bounds every wait of a test. It is never reached unless the test fails.
const patience = 30 * time.Second

// rig is a node that runs until the test ends.
type rig struct {
	*forwarder.Node
	events chan observe.Event
}

type sink chan observe.Event

func (s sink) Observe(e observe.Event) { s <- e }

func start(t *testing.T, relayAddr, local string, options relay.Options) *rig {
	t.Helper()
	return startAll(t, forwarder.Service{Relay: relayAddr, Local: local, Options: options})
}

func startAll(t *testing.T, services ...forwarder.Service) *rig {
	t.Helper()
	for i := range services {
		services[i].Options.Drain = -1
	}
	ctx, cancel := context.WithCancel(context.Background())
	n, err := forwarder.New(services, forwarder.Config{Version: "v1", Drain: cancel})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{n, make(chan observe.Event, 1000)}
	n.AddSink(sink(r.events))
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return r
}

// event waits for an event of that name, and drops those before it.
func (r *rig) event(t *testing.T, name observe.Name) observe.Event {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case e := <-r.events:
			if e.Name == name {
				return e
			}
		case <-late:
			t.Fatalf("waited in vain for %s", name)
		}
	}
}

// sent waits until so many bytes to users are counted, which is after they were sent.
func (r *rig) sent(t *testing.T, bytes int64) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for r.Status().Sent < bytes {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%d bytes are counted, want %d", r.Status().Sent, bytes)
		}
	}
}

// tunnel returns the only one.
func (r *rig) tunnel(t *testing.T) api.Tunnel {
	t.Helper()
	all := r.Tunnels()
	if len(all) != 1 || all[0].ID != "t1" {
		t.Fatalf("the tunnels are %+v, want t1 alone", all)
	}
	return all[0]
}

// echo runs an echo server.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, struct{ io.Reader }{c})
				_ = c.Close()
			}()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
	})
	return l.Addr().String()
}

// join connects as a user, and has a message come back.
func join(t *testing.T, public, message string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", public)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, message); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, len(message))); err != nil {
		t.Fatal(err)
	}
	return c
}

// codes returns the codes of the problems.
func codes(s api.Status) string {
	var all []string
	for _, p := range s.Problems {
		all = append(all, p.Code)
	}
	return strings.Join(all, " ")
}

func TestNodeOfAServiceThatIsUp(t *testing.T) {
	server, local := relaytest.Start(t), echo(t)
	n := start(t, server.Addr(), local, relay.Options{Name: "web", Protocol: relay.Event, Users: 100})
	n.event(t, observe.TunnelOpened)
	before := n.tunnel(t)
	if before.State != api.Unknown || before.Name != "web" || before.Protocol != "event" || before.Local != local || before.Opened == nil || before.Probe != nil {
		t.Errorf("before any user the tunnel is %+v", before)
	}
	user := join(t, before.Public, "12345")
	n.sent(t, 5)
	up := n.tunnel(t)
	if up.State != api.Up || up.Error != "" || up.Probe == nil || !up.Probe.OK || up.Users != 1 || up.Received != 5 || up.Sent != 5 || up.Since.IsZero() {
		t.Errorf("with a user the tunnel is %+v", up)
	}
	s := n.Status()
	if s.Kind != api.Forwarder || s.Version != "v1" || s.Control != server.Addr() || s.Tunnels != 1 || s.Users != 1 || s.Connections != 1 || s.Received != 5 || codes(s) != "" {
		t.Errorf("the status is %+v", s)
	}
	users := n.Users("", 10)
	if len(users) != 1 || len(n.Users("t1", 10)) != 1 || len(n.Users("t2", 10)) != 0 || len(n.Users("x", 10)) != 0 {
		t.Fatalf("the users are %+v", users)
	}
	if u := users[0]; u.Address != user.LocalAddr().String() || u.Tunnel != "t1" || u.Received != 5 {
		t.Errorf("the user is %+v", u)
	}
	limits := make(map[string]api.Limit)
	for _, l := range n.Limits() {
		limits[l.Name] = l
	}
	if l := limits["users_of_tunnel"]; l.Max != 100 || l.Used != 1 || l.Flag != "users" {
		t.Errorf("the limit of users is %+v", l)
	}
	if l := limits["local_dials"]; l.Max != 256 || l.Used != 0 {
		t.Errorf("the limit of dials is %+v", l)
	}
	if err := n.EndUser(users[0].ID); err != nil {
		t.Fatal(err)
	}
	if _, err := user.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a user who was ended sees %v", err)
	}
	n.event(t, observe.UserDone)
	assertEnded(t, n, user.LocalAddr().String(), before.Port)
}

// assertEnded checks that the history has a user who was ended.
func assertEnded(t *testing.T, n *rig, user string, port int) {
	t.Helper()
	ended := n.Ended("", 10)
	if len(ended) != 1 || len(n.Ended("t1", 10)) != 1 {
		t.Fatalf("the history has %+v", ended)
	}
	if e := ended[0]; e.Tunnel != "t1" || e.Port != port || e.Name != "web" || e.Address != user || e.How != "ended_by_operator" || e.EndedBy != "relay_client" {
		t.Errorf("the history has %+v", ended)
	}
	if got := n.Ended("t2", 10); len(got) != 0 {
		t.Errorf("another tunnel has %+v", got)
	}
	minutes := n.Causes().Minutes
	var count int64
	for _, m := range minutes {
		count += m.Ends["relay_client/ended_by_operator"]
	}
	if count != 1 {
		t.Errorf("the causes are %+v", minutes[len(minutes)-1])
	}
}

func TestNodeWithoutItsLocalServer(t *testing.T) {
	_, far := conntest.Pair(t) // whose address nobody listens at
	n := start(t, relaytest.Start(t).Addr(), far.LocalAddr().String(), relay.Options{})
	n.event(t, observe.TunnelOpened)
	public := n.tunnel(t).Public
	if c, err := net.Dial("tcp", public); err == nil { // or it is reset already
		defer c.Close()
	}
	n.event(t, observe.UserReset)
	down := n.tunnel(t)
	if down.State != api.LocalServerDown || !strings.Contains(down.Error, "refused") || strings.Contains(down.Error, "dial") || down.Probe == nil || down.Probe.OK || down.Probe.Error != down.Error {
		t.Errorf("the tunnel is %+v", down)
	}
	if s := n.Status(); codes(s) != "local_server_down" || s.Problems[0].Tunnel != "t1" || !s.Problems[0].Since.Equal(down.Since) {
		t.Errorf("the problems are %+v", s.Problems)
	}
}

func TestNodeWithoutItsRelay(t *testing.T) {
	server := relaytest.Start(t)
	n := start(t, server.Addr(), echo(t), relay.Options{})
	n.event(t, observe.TunnelOpened)
	if s := n.Status(); codes(s) != "" || s.Tunnels != 1 {
		t.Errorf("the status is %+v", s)
	}
	server.Close()
	n.event(t, observe.RegistrationFailed)
	away := n.tunnel(t)
	if away.State != api.Connecting || away.Error == "" || away.Opened != nil {
		t.Errorf("the tunnel is %+v", away)
	}
	if s := n.Status(); codes(s) != "not_registered" || s.Tunnels != 0 || !strings.Contains(s.Problems[0].Text, server.Addr()) {
		t.Errorf("the status is %+v", s)
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := n.Reload(); err != nil { // so that it tries at once
		t.Errorf("Reload: %v", err)
	}
	n.event(t, observe.TunnelOpened)
	if s := n.Status(); codes(s) != "" || s.Tunnels != 1 {
		t.Errorf("the status is %+v", s)
	}
}

// What the relay refuses is remembered.
func TestNodeThatIsRefused(t *testing.T) {
	server := relaytest.Start(t)
	public := start(t, server.Addr(), echo(t), relay.Options{})
	public.event(t, observe.TunnelOpened)
	n := start(t, server.Addr(), echo(t), relay.Options{KeepTrying: true, Port: public.tunnel(t).Port})
	n.event(t, observe.RequestRefused)
	if r := n.Refusals(10); len(r) == 0 || r[0].Event != "request_refused" || r[0].Code != "port-taken" {
		t.Errorf("the history has %+v", r)
	}
	if s := n.Status(); codes(s) != "not_registered" || !strings.Contains(s.Problems[0].Text, "port-taken") {
		t.Errorf("the problems are %+v", s.Problems)
	}
}

func TestNodeActs(t *testing.T) {
	n := start(t, relaytest.Start(t).Addr(), echo(t), relay.Options{})
	n.event(t, observe.TunnelOpened)
	for what, got := range map[string]error{
		"EndUser":     n.EndUser("u1"),
		"EndUser t1":  n.EndUser("t1"),
		"Pause":       n.Pause("t2"),
		"Resume":      n.Resume("u1"),
		"CloseTunnel": n.CloseTunnel("t2"),
	} {
		if !errors.Is(got, admin.ErrUnknown) {
			t.Errorf("%s of what is not there: %v", what, got)
		}
	}
	_, _, err := n.NewToken("web")
	for what, got := range map[string]error{
		"CloseTunnel": n.CloseTunnel("t1"),
		"Ban":         n.Ban(netip.MustParsePrefix("192.0.2.0/24"), time.Hour),
		"Unban":       n.Unban(netip.MustParsePrefix("192.0.2.0/24")),
		"NewToken":    err,
	} {
		if !errors.Is(got, admin.ErrUnsupported) {
			t.Errorf("%s: %v, want that it cannot do that", what, got)
		}
	}
	if err := n.Pause("t1"); err != nil {
		t.Errorf("Pause: %v", err)
	}
	if got := n.tunnel(t); got.State != api.Paused || got.Since.IsZero() {
		t.Errorf("the tunnel is %+v", got)
	}
	if err := n.Resume("t1"); err != nil {
		t.Errorf("Resume: %v", err)
	}
	if got := n.tunnel(t); got.State == api.Paused {
		t.Errorf("the tunnel is %+v", got)
	}
	n.Drain()
	if e := n.event(t, observe.TunnelClosed); e.Reason != observe.Draining {
		t.Errorf("the end is %+v", e)
	}
	if s := n.Status(); !s.Draining || codes(s) != "" || n.tunnel(t).State != api.Away {
		t.Errorf("the status is %+v", s)
	}
}
