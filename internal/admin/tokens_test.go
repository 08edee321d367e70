package admin_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/admin"
)

const token = "an admin token of more than 80 bits"

// Where there is a token, strangers get the page, health and nothing else.
func TestStrangers(t *testing.T) {
	r := start(t, admin.Access{Token: token})
	for path, status := range map[string]int{
		"/healthz": 200, "/readyz": 200, "/": 200, "/app/main.js": 200,
		"/metrics": 401, "/api/v1/status": 401, "/api/v1/openapi.yaml": 401, "/api/v1/nothing": 401, "/api/": 401,
		"/readyz/20001": 401, "/readyz/": 401, "/debug/pprof/": 401, "/debug/": 401, "/metrics/": 200, // is a path of the page, which has none
	} {
		r.ask("GET", path, "").wantStatus(t, status)
	}
	for _, op := range admin.Operations() {
		path := strings.NewReplacer("{id}", "t1", "{source}", "192.0.2.7").Replace("/api/v1" + op[1])
		answer := r.ask(op[0], path, "")
		switch {
		case op[1] != "/session":
			answer.wantError(t, http.StatusUnauthorized, "unauthorized")
			if !strings.HasPrefix(answer.Header.Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("%s: WWW-Authenticate is %q", path, answer.Header.Get("WWW-Authenticate"))
			}
		case op[0] == "POST":
			answer.wantError(t, http.StatusUnsupportedMediaType, "unsupported_media_type")
		default:
			answer.wantStatus(t, http.StatusNoContent)
		}
	}
	if asked := r.node.take(); asked != "" {
		t.Errorf("the node is asked for %q", asked)
	}
}

// Programs send the token with each request.
func TestBearer(t *testing.T) {
	r := start(t, admin.Access{Token: token})
	for header, status := range map[string]int{
		"Authorization: Bearer " + token: 200, "Authorization: bearer  " + token: 200,
		"Authorization: Bearer": 401, "Authorization: Bearer " + token + "x": 401, "Authorization: Bearer " + token[1:]: 401,
		"Authorization: Basic " + token: 401, "Authorization: " + token: 401, "Authorization: Bearer x": 401,
	} {
		r.ask("GET", "/api/v1/status", "", header).wantStatus(t, status)
	}
}

// A browser logs in, has a cookie that nobody else gets at, and logs out.
func TestSession(t *testing.T) {
	r := start(t, admin.Access{Token: token})
	r.ask("POST", "/api/v1/session", `{"token": "wrong"}`, isJSON).wantError(t, 401, "unauthorized")
	answer := r.ask("POST", "/api/v1/session", `{"token": "`+token+`"}`, isJSON)
	answer.wantStatus(t, http.StatusNoContent)
	cookies := answer.Cookies()
	if len(cookies) != 1 {
		t.Fatalf("there are the cookies %v", cookies)
	}
	c := cookies[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure || c.Path != "/" || c.Domain != "" || strings.Contains(c.Value, token) {
		t.Errorf("the cookie is %v", c)
	}
	mine := "Cookie: " + c.Name + "=" + c.Value
	r.ask("GET", "/api/v1/status", "", mine).wantStatus(t, 200)
	r.ask("GET", "/api/v1/status", "", mine+"x").wantStatus(t, 401)
	r.ask("GET", "/api/v1/status", "", "Cookie: "+c.Name+"0="+c.Value).wantStatus(t, 401)
	r.ask("POST", "/api/v1/drain", "", mine, "Origin: https://evil.example.com").wantError(t, 403, "cross_site")
	other := start(t, admin.Access{Token: token})
	other.ask("GET", "/api/v1/status", "", mine).wantStatus(t, 401)
	r.ask("DELETE", "/api/v1/session", "", mine).wantStatus(t, http.StatusNoContent)
	r.ask("GET", "/api/v1/status", "", mine).wantStatus(t, 401)
}

// Only so many browsers are logged in: the first one is out when there are more.
func TestManySessions(t *testing.T) {
	r := start(t, admin.Access{Token: token})
	var cookies []string
	for range 33 {
		answer := r.ask("POST", "/api/v1/session", `{"token": "`+token+`"}`, isJSON)
		if len(answer.Cookies()) != 1 {
			t.Fatalf("status %d without a cookie", answer.StatusCode)
		}
		cookies = append(cookies, "Cookie: "+answer.Cookies()[0].Name+"="+answer.Cookies()[0].Value)
	}
	r.ask("GET", "/api/v1/status", "", cookies[0]).wantStatus(t, 401)
	for _, cookie := range cookies[1:] {
		r.ask("GET", "/api/v1/status", "", cookie).wantStatus(t, 200)
	}
}

// Without a token there is nothing to log in to.
func TestNoSession(t *testing.T) {
	r := start(t, admin.Access{})
	r.ask("POST", "/api/v1/session", `{"token": "x"}`, isJSON).wantError(t, http.StatusConflict, "no_token")
}

// A source that tries one token after the other is not heard any more, not even with the
// right one, and is told when to come back.
func TestGuessing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := startAt(t, elsewhere{l}, admin.Access{Token: token})
	for range 10_000 {
		answer := r.ask("GET", "/api/v1/status", "", "Authorization: Bearer guess")
		if answer.StatusCode == http.StatusUnauthorized {
			continue
		}
		answer.wantError(t, http.StatusTooManyRequests, "too_many_wrong_tokens")
		if answer.Header.Get("Retry-After") == "" {
			t.Error("nothing is said of when to come back")
		}
		r.ask("GET", "/api/v1/status", "", "Authorization: Bearer "+token).wantError(t, http.StatusTooManyRequests, "too_many_wrong_tokens")
		r.ask("GET", "/healthz", "").wantStatus(t, 200)
		return
	}
	t.Fatal("10,000 tokens were tried")
}

// elsewhere is a listener whose connections come from another machine.
type elsewhere struct{ net.Listener }

func (l elsewhere) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return stranger{conn}, err
}

type stranger struct{ net.Conn }

func (stranger) RemoteAddr() net.Addr { return user("192.0.2.7:40000") }

// On loopback everybody may have one address: nobody is shut out there by the tokens that
// others try.
func TestWrongTokensOnLoopback(t *testing.T) {
	r := start(t, admin.Access{Token: token})
	for range 3 {
		r.ask("GET", "/api/v1/status", "", "Authorization: Bearer guess").wantError(t, 401, "unauthorized")
	}
	r.ask("GET", "/api/v1/status", "", "Authorization: Bearer "+token).wantStatus(t, 200)
}
