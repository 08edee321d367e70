package admin_test

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/admin"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/api/client"
	"github.com/seed96252745/relay/internal/observe"
)

// open returns a client of the rig's server.
func (r *rig) open(token string) *client.Client {
	r.Helper()
	c, err := client.Open(r.base, token, nil)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(c.Close)
	return c
}

// What a client is asked for is what the node is asked for.
func TestClientActs(t *testing.T) {
	r := start(t, admin.Access{Token: token})
	c := r.open(token)
	network := netip.MustParsePrefix("192.0.2.0/24")
	for want, do := range map[string]func(context.Context) error{
		"end u1":                func(ctx context.Context) error { return c.EndUser(ctx, "u1") },
		"close t1":              func(ctx context.Context) error { return c.CloseTunnel(ctx, "t1") },
		"pause t1":              func(ctx context.Context) error { return c.Pause(ctx, "t1") },
		"resume t1":             func(ctx context.Context) error { return c.Resume(ctx, "t1") },
		"ban 192.0.2.0/24 1m0s": func(ctx context.Context) error { return c.Ban(ctx, network, time.Minute) },
		"unban 192.0.2.0/24":    func(ctx context.Context) error { return c.Unban(ctx, network) },
		"reload":                c.Reload,
		"drain":                 c.Drain,
		"token db1": func(ctx context.Context) error {
			token, err := c.NewToken(ctx, "db1")
			if token.Name != "db1" || token.Secret != "secret of db1" || token.Line == "" {
				t.Errorf("the token is %+v", token)
			}
			return err
		},
	} {
		if err := do(t.Context()); err != nil {
			t.Errorf("%s: %v", want, err)
		}
		if asked := r.node.take(); asked != want {
			t.Errorf("the node is asked for %q, want %q", asked, want)
		}
	}
}

// A client reads what there is.
func TestClientReads(t *testing.T) {
	r := start(t, admin.Access{})
	c := r.open("")
	if s, err := c.Status(t.Context()); err != nil || s.Kind != api.Relay {
		t.Errorf("the status is %+v, %v", s, err)
	}
	if all, err := c.Tunnels(t.Context()); err != nil || len(all) != 1 || all[0].ID != "t1" {
		t.Errorf("the tunnels are %+v, %v", all, err)
	}
	if one, err := c.Tunnel(t.Context(), "t1"); err != nil || one.Name != "web" {
		t.Errorf("the tunnel is %+v, %v", one, err)
	}
	for tunnel, want := range map[string]int{"": 3, "t1": 3, "t2": 0, "a/b?c&limit=9": 0} {
		if users, err := c.Users(t.Context(), tunnel, 3); err != nil || len(users) != want {
			t.Errorf("%q: %d users, %v; want %d", tunnel, len(users), err, want)
		}
	}
	if causes, err := c.Causes(t.Context()); err != nil || len(causes.Minutes) != 1 {
		t.Errorf("the causes are %+v, %v", causes, err)
	}
	ended, err1 := c.Ended(t.Context(), "t1", 10)
	refusals, err2 := c.Refusals(t.Context(), 10)
	limits, err3 := c.Limits(t.Context())
	bans, err4 := c.Bans(t.Context())
	if err := errors.Join(err1, err2, err3, err4); err != nil || len(ended)+len(refusals)+len(limits)+len(bans) > 0 {
		t.Error(ended, refusals, limits, bans, err)
	}
	if page, err := c.Get(t.Context(), "/metrics"); err != nil || string(page) != "page" {
		t.Errorf("the metrics are %q, %v", page, err)
	}
}

// An answer that is not a success is an error with what was said.
func TestClientErrors(t *testing.T) {
	r := start(t, admin.Access{Token: token})
	var said *client.StatusError
	if err := r.open(token).Pause(t.Context(), "t/2"); !errors.As(err, &said) || said.Status != 404 || said.Code != "unknown_tunnel" || said.Message != err.Error() {
		t.Errorf("an unknown tunnel: %v", err)
	}
	if err := r.open("").Reload(t.Context()); !errors.As(err, &said) || said.Status != 401 {
		t.Errorf("without the token: %v", err)
	}
	for _, url := range []string{"", "127.0.0.1:8081", "ftp://x", "http://", "http://%zz"} {
		if _, err := client.Open(url, "", nil); err == nil {
			t.Errorf("%q is taken for a URL", url)
		}
	}
}

// A client has events until it stops, or the process ends.
func TestClientEvents(t *testing.T) {
	r := start(t, admin.Access{})
	c := r.open("")
	observing, stopObserving := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	defer func() { stopObserving(); <-stopped }()
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-observing.Done():
				return
			case <-tick.C:
				r.Events.Observe(observe.Event{Name: observe.UserReset})
				r.Events.Observe(observe.Event{Name: observe.UserDone})
			}
		}
	}()
	n := 0
	for e, err := range c.Events(t.Context(), client.Filter{Events: []string{"user_reset", "panic"}, Level: "info"}) {
		if err != nil || e.Event != "user_reset" {
			t.Fatalf("the event is %+v, %v", e, err)
		}
		if n++; n == 3 {
			break
		}
	}
	for _, err := range c.Events(t.Context(), client.Filter{Tunnel: "t2"}) {
		var said *client.StatusError
		if !errors.As(err, &said) || said.Code != "unknown_tunnel" {
			t.Errorf("an unknown tunnel: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range c.Events(ctx, client.Filter{}) {
		cancel()
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("after it was stopped: %v", last)
	}
	for _, err := range c.Events(t.Context(), client.Filter{}) {
		if last = err; last == nil {
			r.Close()
		}
	}
	if !errors.Is(last, io.EOF) {
		t.Errorf("after the end: %v", last)
	}
}
