package admin_test

import (
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/admin"
)

const isJSON = "Content-Type: application/json"

// What operators ask for is what the node is asked for, once.
func TestActs(t *testing.T) {
	r := start(t, admin.Access{})
	for _, tt := range []struct {
		method, path, body string
		status             int
		asked              string
	}{
		{"DELETE", "/users/u1", "", 204, "end u1"},
		{"POST", "/tunnels/t1/close", "", 204, "close t1"},
		{"POST", "/tunnels/t1/pause", "", 204, "pause t1"},
		{"POST", "/tunnels/t1/resume", "", 204, "resume t1"},
		{"POST", "/bans", `{"source": "192.0.2.7", "seconds": 60}`, 201, "ban 192.0.2.7/32 1m0s"},
		{"POST", "/bans", `{"source": "2001:db8::1/32", "seconds": 1}`, 201, "ban 2001:db8::/32 1s"},
		{"DELETE", "/bans/192.0.2.0%2F24", "", 204, "unban 192.0.2.0/24"},
		{"POST", "/tokens", `{"name": "db1"}`, 201, "token db1"},
		{"POST", "/reload", "", 204, "reload"},
		{"POST", "/drain", "", 202, "drain"},
	} {
		answer := r.ask(tt.method, "/api/v1"+tt.path, tt.body, isJSON)
		answer.wantStatus(t, tt.status)
		if asked := r.node.take(); asked != tt.asked {
			t.Errorf("%s %s: the node is asked for %q, want %q", tt.method, tt.path, asked, tt.asked)
		}
	}
}

// A wrong request has an answer that says what is wrong, and the node is asked for nothing.
func TestWrongRequests(t *testing.T) {
	r := start(t, admin.Access{})
	for _, tt := range []struct {
		method, path, body, header string
		status                     int
		code                       string
	}{
		{"GET", "/tunnels/t2", "", "", 404, "unknown_tunnel"},
		{"POST", "/tunnels/t2/close", "", "", 404, "unknown_tunnel"},
		{"POST", "/tunnels/t2/pause", "", "", 404, "unknown_tunnel"},
		{"POST", "/tunnels/t2/resume", "", "", 404, "unknown_tunnel"},
		{"GET", "/events?tunnel=t2", "", "", 404, "unknown_tunnel"},
		{"DELETE", "/users/u2", "", "", 404, "unknown_user"},
		{"DELETE", "/bans/198.51.100.1", "", "", 404, "unknown_ban"},
		{"GET", "/nothing", "", "", 404, "unknown_path"},
		{"GET", "/status/", "", "", 404, "unknown_path"},
		{"POST", "/status", "", "", 405, "method_not_allowed"},
		{"GET", "/drain", "", "", 405, "method_not_allowed"},
		{"PUT", "/bans", "", "", 405, "method_not_allowed"},
		{"GET", "/status?x=1", "", "", 400, "bad_request"},
		{"GET", "/users?limit=0", "", "", 400, "bad_request"},
		{"GET", "/users?limit=10001", "", "", 400, "bad_request"},
		{"GET", "/users?limit=ten", "", "", 400, "bad_request"},
		{"GET", "/users?limit=1&limit=2", "", "", 400, "bad_request"},
		{"GET", "/users?tunnel=", "", "", 400, "bad_request"},
		{"GET", "/users?%zz", "", "", 400, "bad_request"},
		{"GET", "/refusals?tunnel=t1", "", "", 400, "bad_request"},
		{"GET", "/events?level=loud", "", "", 400, "bad_request"},
		{"GET", "/events?user=me", "", "", 400, "bad_request"},
		{"GET", "/events?" + strings.Repeat("event=a&", 33), "", "", 400, "bad_request"},
		{"POST", "/drain", "now", "", 400, "bad_request"},
		{"DELETE", "/bans/everybody", "", "", 400, "bad_request"},
		{"POST", "/bans", `{"source": "192.0.2.7", "seconds": 60}`, "Content-Type: text/plain", 415, "unsupported_media_type"},
		{"POST", "/bans", `{"source": "192.0.2.7", "seconds": 60}`, "", 415, "unsupported_media_type"},
		{"POST", "/bans", `{"source": "192.0.2.7", "seconds": 60, "why": "x"}`, isJSON, 400, "bad_request"},
		{"POST", "/bans", `{"source": "192.0.2.7", "seconds": 60} {}`, isJSON, 400, "bad_request"},
		{"POST", "/bans", `{"source": "192.0.2.7", "seconds": 0}`, isJSON, 400, "bad_request"},
		{"POST", "/bans", `{"source": "192.0.2.7", "seconds": 40000000}`, isJSON, 400, "bad_request"},
		{"POST", "/bans", `{"source": "192.0.2.7", "seconds": 9e99}`, isJSON, 400, "bad_request"},
		{"POST", "/bans", `{"source": "0.0.0.0/0", "seconds": 60}`, isJSON, 400, "bad_request"},
		{"POST", "/bans", `{"source": "fe80::1%eth0", "seconds": 60}`, isJSON, 400, "bad_request"},
		{"POST", "/bans", `{"source": "::ffff:192.0.2.0/120", "seconds": 60}`, isJSON, 400, "bad_request"},
		{"POST", "/bans", `null`, isJSON, 400, "bad_request"},
		{"POST", "/bans", ``, isJSON, 400, "bad_request"},
		{"POST", "/tokens", `{"name": "` + strings.Repeat("x", 20<<10) + `"}`, isJSON, 413, "too_large"},
		{"POST", "/tokens", `{"name": "a b"}`, isJSON, 400, "bad_request"},
		{"POST", "/tokens", `{}`, isJSON, 400, "bad_request"},
	} {
		answer := r.ask(tt.method, "/api/v1"+tt.path, tt.body, tt.header)
		answer.wantError(t, tt.status, tt.code)
		if tt.status == 405 && answer.Header.Get("Allow") == "" {
			t.Errorf("%s %s: nothing is said of what is allowed", tt.method, tt.path)
		}
	}
	if asked := r.node.take(); asked != "" {
		t.Errorf("the node is asked for %q", asked)
	}
}

// Lists without anything are lists, and none is longer than was asked for.
func TestLists(t *testing.T) {
	r := start(t, admin.Access{})
	for path, want := range map[string]string{
		"/ended": "[]\n", "/refusals": "[]\n", "/limits": "[]\n", "/bans": "[]\n", "/users?tunnel=t2": "[]\n", "/settings": `{"flags":{}}` + "\n",
		"/causes": `{"minutes":[{"at":"0001-01-01T00:00:00Z","ends":{},"resets":{},"refused":{}}]}` + "\n",
	} {
		if answer := r.ask("GET", "/api/v1"+path, ""); answer.StatusCode != 200 || answer.body != want {
			t.Errorf("%s: status %d, %s; want %s", path, answer.StatusCode, answer.body, want)
		}
	}
	for path, want := range map[string]int{"/users": 100, "/users?limit=3": 3, "/users?limit=10000": 200} {
		if answer := r.ask("GET", "/api/v1"+path, ""); strings.Count(answer.body, `"id"`) != want {
			t.Errorf("%s: %d users, want %d", path, strings.Count(answer.body, `"id"`), want)
		}
	}
}
