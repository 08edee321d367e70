package admin_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/seed96252745/relay/internal/admin"
	"github.com/seed96252745/relay/internal/api"
)

// A relay is ready until it drains, and a forwarder while all services are registered.
func TestReady(t *testing.T) {
	r := start(t, admin.Access{})
	for _, tt := range []struct {
		status api.Status
		ready  int
	}{
		{api.Status{Kind: api.Relay}, 200}, // each is another one than the one before it
		{api.Status{Kind: api.Relay, Draining: true}, 503},
		{api.Status{Kind: api.Forwarder, Tunnels: 1}, 200},
		{api.Status{Kind: api.Forwarder}, 503},
		{api.Status{Kind: api.Forwarder, Tunnels: 3}, 200},
		{api.Status{Kind: api.Forwarder, Tunnels: 2, Away: 1}, 503},
		{api.Status{Kind: api.Relay}, 200},
		{api.Status{Kind: api.Forwarder, Tunnels: 1, Draining: true}, 503},
	} {
		r.node.is(tt.status)
		waitFor(t, func() bool { return r.ask("GET", "/readyz", "").StatusCode == tt.ready })
		r.ask("GET", "/healthz", "").wantStatus(t, 200)
	}
}

// A tunnel is ready if it is known to be up, and is found by its port, its ID and its service.
func TestReadyTunnel(t *testing.T) {
	r := start(t, admin.Access{})
	r.node.has(
		api.Tunnel{ID: "t2", Port: 20002, State: api.LocalServerDown, Error: "connection refused"},
		api.Tunnel{ID: "t3", Port: 20003, State: api.Unknown},
		api.Tunnel{ID: "t4", Port: 20005, Service: "db", State: api.Away},
		api.Tunnel{ID: "t5", Port: 20005, Service: "db", State: api.Up},
	)
	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"20001": {200, "up\n"},
		"t1":    {200, "up\n"},
		"20002": {503, "local_server_down: connection refused\n"},
		"t3":    {503, "unknown\n"},
		"20004": {404, "unknown_tunnel\n"},
		"web":   {404, "unknown_tunnel\n"},
		"db":    {200, "up\n"},
		"20005": {200, "up\n"},
		"t4":    {503, "away\n"},
	} {
		answer := r.ask("GET", "/readyz/"+path, "")
		answer.wantStatus(t, want.status)
		if answer.body != want.body {
			t.Errorf("%s: the answer is %q, want %q", path, answer.body, want.body)
		}
	}
}

// A node that cannot do what is asked of it, or that fails, is told of in its own words.
func TestFailures(t *testing.T) {
	r := start(t, admin.Access{})
	for err, code := range map[error]string{
		admin.ErrUnsupported: "unsupported", errors.New("line 7 of the tokens file is broken"): "failed",
	} {
		r.node.fail(err)
		answer := r.ask("POST", "/api/v1/reload", "")
		answer.wantError(t, http.StatusConflict, code)
		if want := `{"code":"` + code + `","message":"` + err.Error() + `"}` + "\n"; answer.body != want {
			t.Errorf("%s, want %s", answer.body, want)
		}
	}
}

// A bug costs one request.
func TestPanic(t *testing.T) {
	r := start(t, admin.Access{})
	r.node.is(api.Status{Kind: "panic"})
	r.ask("GET", "/api/v1/status", "").wantError(t, http.StatusInternalServerError, "panic")
	r.ask("GET", "/api/v1/tunnels", "").wantStatus(t, 200)
}

// What is reported is a problem beside those of the node.
func TestReport(t *testing.T) {
	r := start(t, admin.Access{})
	r.node.is(api.Status{Problems: []api.Problem{{Code: "first"}}})
	r.Report(api.Problem{Code: "second", Text: "wrong"})
	answer := r.ask("GET", "/api/v1/status", "")
	var status api.Status
	answer.decode(t, &status)
	if p := status.Problems; len(p) != 2 || p[0].Code != "first" || p[1].Code != "second" {
		t.Errorf("the problems are %v", p)
	}
}
