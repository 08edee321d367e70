package admin_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/seed96252745/relay/internal/admin"
	"github.com/seed96252745/relay/internal/api"
)

// A relay is ready until it drains, and a forwarder while it has a tunnel.
func TestReady(t *testing.T) {
	r := start(t, admin.Access{})
	for _, tt := range []struct {
		status api.Status
		ready  int
	}{
		{api.Status{Kind: api.Relay}, 200},
		{api.Status{Kind: api.Relay, Draining: true}, 503},
		{api.Status{Kind: api.Forwarder}, 503},
		{api.Status{Kind: api.Forwarder, Tunnels: 1}, 200},
		{api.Status{Kind: api.Forwarder, Tunnels: 1, Draining: true}, 503},
	} {
		r.node.is(tt.status)
		r.ask("GET", "/readyz", "").wantStatus(t, tt.ready)
		r.ask("GET", "/healthz", "").wantStatus(t, 200)
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
