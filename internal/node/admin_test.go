package node_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	client "github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/admin"
	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/history"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/transport"
)

// adminPatience bounds every wait, which is over long before unless the code is wrong.
const adminPatience = 30 * time.Second

// startAdmin starts a relay, and returns how its operator sees it, and its address.
func startAdmin(t *testing.T, c node.Config, a node.AdminConfig) (*node.Admin, string) {
	t.Helper()
	past := history.New()
	c.Bind, c.Ports, c.Sinks = "127.0.0.1", port.Range{First: 20000, Last: 29999}, []observe.Sink{past}
	s, err := node.Relay(c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := transport.ListenRelayClients("127.0.0.1:0")
	if err != nil {
		s.Close()
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(l) }) // its error says only that it was closed
	t.Cleanup(func() { s.Close(); serving.Wait() })
	a.Server, a.History = s, past
	return node.NewAdmin(a), l.Addr().String()
}

// listen goes online, until the test ends or stop is called, and echoes users. A relay has it
// served a moment after it has been told its port.
func listen(t *testing.T, a *node.Admin, addr string) (public net.Addr, stop func()) {
	t.Helper()
	l, err := client.Listen(t.Context(), addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	var echoing sync.WaitGroup
	echoing.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			echoing.Go(func() {
				_, _ = io.Copy(conn, conn) // ends with the user
				_ = conn.Close()
			})
		}
	})
	stop = sync.OnceFunc(func() { _ = l.Close(); echoing.Wait() })
	t.Cleanup(stop)
	wait(t, func() bool { return a.Status().Tunnels == 1 }, func() any { return a.Tunnels() })
	return l.Addr(), stop
}

// codes returns the codes of problems.
func codes(all []api.Problem) (codes []string) {
	for _, p := range all {
		codes = append(codes, p.Code)
	}
	return codes
}

// wait waits until something is so, and fails with what it is if that takes too long.
func wait(t *testing.T, isSo func() bool, is func() any) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for since := time.Now(); !isSo(); <-again.C {
		if time.Since(since) > adminPatience {
			t.Fatalf("it is still %+v", is())
		}
	}
}

// wantProblem waits until a problem is there, and returns it.
func wantProblem(t *testing.T, a *node.Admin, code string) api.Problem {
	t.Helper()
	var all []api.Problem
	wait(t, func() bool { all = a.Status().Problems; return slices.Contains(codes(all), code) }, func() any { return codes(all) })
	p := all[slices.Index(codes(all), code)]
	if p.Text == "" {
		t.Errorf("the problem %s has no text", code)
	}
	if p.Tunnel != "" && !strings.HasPrefix(p.Text, "port ") {
		t.Errorf("the problem %s does not say whose it is: %s", code, p.Text)
	}
	return p
}

func TestNoProblems(t *testing.T) {
	about := api.Status{Version: "1.2", Control: "127.0.0.1:8080", Ports: "20000-29999", Open: true, Started: time.Now().UTC()}
	a, addr := startAdmin(t, node.Config{}, node.AdminConfig{About: about, Host: "192.0.2.9"})
	public, _ := listen(t, a, addr)
	s := a.Status()
	if s.Problems == nil || len(s.Problems) != 0 {
		t.Errorf("the problems are %+v", s.Problems)
	}
	if s.Kind != api.Relay || s.Version != about.Version || s.Control != about.Control || s.Ports != about.Ports || !s.Open || s.Now.IsZero() || s.Draining || s.Tunnels != 1 {
		t.Errorf("the status is %+v", s)
	}
	tunnels := a.Tunnels()
	_, number, err := net.SplitHostPort(public.String())
	if err != nil || len(tunnels) != 1 || tunnels[0].Public != "192.0.2.9:"+number || tunnels[0].State == "" || tunnels[0].Since.IsZero() {
		t.Errorf("%v, %v: the tunnels are %+v", public, err, tunnels)
	}
	if a.Users("", 10) == nil || a.Ended("", 10) == nil || a.Refusals(10) == nil || a.Bans() == nil || len(a.Users("x", 10)) != 0 || len(a.Ended("x", 10)) != 0 {
		t.Error("an empty list is none, or there is something in it")
	}
}

func TestNearLimitIsAProblem(t *testing.T) {
	a, addr := startAdmin(t, node.Config{Limits: admission.Limits{Users: 1}}, node.AdminConfig{})
	public, _ := listen(t, a, addr)
	user, err := net.Dial("tcp", public.String())
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	if p := wantProblem(t, a, "limit_near"); !strings.Contains(p.Text, "--maxUsers") {
		t.Errorf("the text is %q", p.Text)
	}
}

func TestAwayIsAProblem(t *testing.T) {
	a, addr := startAdmin(t, node.Config{}, node.AdminConfig{})
	_, stop := listen(t, a, addr)
	stop()
	p := wantProblem(t, a, "away")
	tunnels := a.Tunnels()
	if len(tunnels) != 1 || tunnels[0].ID != p.Tunnel || tunnels[0].State != api.Away || tunnels[0].Until == nil || p.Since == nil || !p.Since.After(*tunnels[0].Opened) {
		t.Errorf("the problem is %+v, and the tunnels are %+v", p, tunnels)
	}
	if s := a.Status(); s.Away != 1 || s.Tunnels != 0 {
		t.Errorf("the status is %+v", s)
	}
}

// leaseStore has one lease, and cannot be written.
type leaseStore struct{ lease.Forget }

func (leaseStore) Load() ([]lease.Lease, error) {
	return []lease.Lease{{Key: lease.KeyOf("", "one"), Port: 1, Until: time.Now().Add(time.Minute)}}, nil
}

func (leaseStore) Save(lease.Lease) error { return errors.New("disk full") }

func TestLeasesThatAreNotKeptAreAProblem(t *testing.T) {
	a, addr := startAdmin(t, node.Config{Leases: leaseStore{}}, node.AdminConfig{})
	wantProblem(t, a, "leased_ports_closed") // which is none of the public ports
	listen(t, a, addr)
	if p := wantProblem(t, a, "leases_not_saved"); !strings.Contains(p.Text, "disk full") || p.Since == nil {
		t.Errorf("the problem is %+v", p)
	}
}

func TestWhatTheCommandGives(t *testing.T) {
	drained, reloaded := false, false
	own := api.Problem{Code: "lines_dropped", Text: "nobody reads the log"}
	given := node.AdminConfig{
		Problems: func() []api.Problem { return []api.Problem{own} },
		Drain:    func() { drained = true },
		Reload:   func() error { reloaded = true; return nil },
		NewToken: func(name string) (secret, line string, err error) { return "secret", "line of " + name, nil },
	}
	a, _ := startAdmin(t, node.Config{}, given)
	if got := a.Status().Problems; !slices.Equal(got, []api.Problem{own}) {
		t.Errorf("the problems are %+v", got)
	}
	a.Drain()
	secret, line, err := a.NewToken("db1")
	if err := errors.Join(err, a.Reload()); err != nil || secret != "secret" || line != "line of db1" || !drained || !reloaded {
		t.Errorf("got %q, %q, %v; drained %t, reloaded %t", secret, line, err, drained, reloaded)
	}
	none, _ := startAdmin(t, node.Config{}, node.AdminConfig{})
	if _, _, err := none.NewToken("db1"); !errors.Is(err, admin.ErrUnsupported) || !errors.Is(none.Reload(), admin.ErrUnsupported) {
		t.Errorf("without tokens got %v", err)
	}
}

// A relay that drains says so.
func TestDrainingIsSeen(t *testing.T) {
	a, addr := startAdmin(t, node.Config{}, node.AdminConfig{})
	listen(t, a, addr)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = node.ServerOf(a).Shutdown(ctx) // its error says that it did not wait
	if !a.Status().Draining {
		t.Error("it does not say that it drains")
	}
}

func TestLimitsAreAll(t *testing.T) {
	a, addr := startAdmin(t, node.Config{Limits: admission.Limits{UsersPerSource: -1, HandshakesPerSource: 7, UserWait: 1500 * time.Millisecond}}, node.AdminConfig{})
	public, _ := listen(t, a, addr)
	user, err := net.Dial("tcp", public.String())
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	if _, err := user.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(user, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]api.Limit)
	for _, l := range a.Limits() {
		if _, twice := all[l.Name]; twice {
			t.Errorf("%s is there twice", l.Name)
		}
		if l.Max == 0 || l.Max < -1 || l.Used < -1 || l.Met < 0 {
			t.Errorf("%+v makes no sense", l)
		}
		all[l.Name] = l
	}
	if l := all["users"]; l.Used != 1 || l.Flag != "maxUsers" {
		t.Errorf("with a user it is %+v", l)
	}
	for name, most := range map[string]int64{
		"users_per_source": -1, "users_per_second": 100, "handshakes_per_source": 7, "user_wait_seconds": 2, "handshake_timeout_seconds": 5,
	} {
		if all[name].Max != most {
			t.Errorf("%s is at most %d, want %d", name, all[name].Max, most)
		}
	}
	if l := all["descriptors"]; l.Used < 4 { // of a port and a user
		t.Errorf("descriptors are %+v", l)
	}
}

// Descriptors are a problem before users are reset for want of them: some are not for users.
func TestNearDescriptorsIsAProblem(t *testing.T) {
	a, addr := startAdmin(t, node.Config{Limits: admission.Limits{Descriptors: 9}}, node.AdminConfig{})
	public, _ := listen(t, a, addr)
	if got := codes(a.Status().Problems); len(got) > 0 {
		t.Errorf("without users the problems are %q", got)
	}
	for range 2 {
		user, err := net.Dial("tcp", public.String())
		if err != nil {
			t.Fatal(err)
		}
		defer user.Close()
	}
	if p := wantProblem(t, a, "limit_near"); !strings.Contains(p.Text, "ulimit") {
		t.Errorf("the text is %q", p.Text)
	}
}

func TestDroppedLinesAreAProblem(t *testing.T) {
	dropped := int64(0)
	a, _ := startAdmin(t, node.Config{}, node.AdminConfig{LinesDropped: func() int64 { return dropped }})
	if got := codes(a.Status().Problems); len(got) > 0 {
		t.Errorf("the problems are %q", got)
	}
	dropped = 7
	if p := wantProblem(t, a, "log_lines_dropped"); !strings.HasPrefix(p.Text, "7 lines ") || p.Since == nil {
		t.Errorf("the problem is %+v", p)
	}
}

// What has happened once is a problem for an hour.
func TestProblemsPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, began := node.NewAdmin(node.AdminConfig{}), time.Now()
		for _, step := range []struct {
			wait time.Duration
			n    int64
			is   bool
			ago  time.Duration
		}{
			{0, 0, false, 0}, {time.Minute, 2, true, 0}, {time.Hour, 2, true, time.Hour}, {time.Minute, 2, false, 0},
			{time.Minute, 3, true, 0}, {time.Hour, 5, true, time.Hour}, {time.Hour, 5, true, 2 * time.Hour}, {time.Second, 5, false, 0},
		} {
			pass(step.wait)
			since, is := a.HasRisen("some", step.n)
			if is != step.is || is && time.Since(since) != step.ago {
				t.Errorf("%v after the start, %d: %t since %v, want %t", time.Since(began), step.n, is, since, step.is)
			}
		}
	})
}

// pass lets time pass, in a bubble of synctest.
func pass(d time.Duration) { <-time.After(d) }
