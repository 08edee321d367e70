package page_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/page"
)

// fixture is an admin API with what a test wants to see on the page. A test changes it
// under its lock.
type fixture struct {
	sync.Mutex
	*httptest.Server
	status   api.Status
	tunnels  []api.Tunnel
	users    []api.User
	ended    []api.Ended
	refusals []api.Refusal
	limits   []api.Limit
	causes   api.Causes
	bans     []api.Ban

	flowing     bool     // bytes go through between any two updates
	gone        bool     // each connection is reset
	misdirected string   // what all requests are refused with, or ""
	token       string   // that a browser has to log in with, or ""
	refuse      string   // what acts are refused with, or ""
	acts        []string // that came
	statuses    int      // how often the status was asked for
}

const fixtureCookie = "relay_admin"

func newFixture(t *testing.T) *fixture {
	f := &fixture{status: api.Status{
		Kind: api.Relay, Version: "v1.0.0", Started: time.Now().Add(-50 * time.Hour), Control: "relay.example.com:8080", Ports: "20000-29999",
		Connect: []string{"relay --localForwardPort=<its port> relay.example.com 8080", "relay --tlsPin=sha256//key --localForwardPort=<its port> relay.example.com 8080"}, Problems: []api.Problem{},
	}}
	mux := http.NewServeMux()
	mux.Handle("GET /", page.Handler())
	mux.HandleFunc("POST /api/v1/session", f.logIn)
	mux.HandleFunc("DELETE /api/v1/session", f.logOut)
	f.read(mux, "status", func(*http.Request) any {
		f.statuses++
		if f.flowing {
			f.flow()
		}
		f.status.Now = time.Now().UTC()
		return f.status
	})
	f.read(mux, "tunnels", func(*http.Request) any { return orEmpty(f.tunnels) })
	f.read(mux, "users", func(r *http.Request) any {
		return some(f.users, r, func(u api.User) string { return u.Tunnel })
	})
	f.read(mux, "ended", func(r *http.Request) any {
		return some(f.ended, r, func(e api.Ended) string { return e.Tunnel })
	})
	f.read(mux, "refusals", func(*http.Request) any { return orEmpty(f.refusals) })
	f.read(mux, "limits", func(*http.Request) any { return orEmpty(f.limits) })
	f.read(mux, "causes", func(*http.Request) any { return f.causes })
	f.read(mux, "bans", func(*http.Request) any { return orEmpty(f.bans) })
	for _, pattern := range []string{
		"DELETE /api/v1/users/{id}", "POST /api/v1/tunnels/{id}/{act}", "POST /api/v1/bans", "DELETE /api/v1/bans/{source}",
		"POST /api/v1/tokens", "POST /api/v1/reload", "POST /api/v1/drain",
	} {
		mux.HandleFunc(pattern, f.act)
	}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.Lock()
		gone := f.gone
		f.Unlock()
		if gone {
			panic(http.ErrAbortHandler)
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

// change changes the fixture under its lock.
func (f *fixture) change(do func()) {
	f.Lock()
	defer f.Unlock()
	do()
}

// asked returns how often the page has asked.
func (f *fixture) asked() int {
	f.Lock()
	defer f.Unlock()
	return f.statuses
}

// waitAsked returns when the page has asked so often.
func (f *fixture) waitAsked(p *tab, n int) {
	p.Helper()
	for deadline := time.Now().Add(patience); f.asked() < n; {
		if time.Now().After(deadline) {
			p.Fatalf("the page has asked %d times, want %d", f.asked(), n)
		}
		// The browser waits, since the page does what is waited for.
		ask(p, chromedp.Evaluate[bool]("new Promise(r => setTimeout(r, 50, true))", chromedp.EvalAwaitPromise))
	}
}

func (f *fixture) authorized(r *http.Request) bool {
	cookie, err := r.Cookie(fixtureCookie)
	return f.token == "" || err == nil && cookie.Value == f.token
}

func (f *fixture) read(mux *http.ServeMux, name string, what func(*http.Request) any) {
	mux.HandleFunc("GET /api/v1/"+name, func(w http.ResponseWriter, r *http.Request) {
		f.Lock()
		defer f.Unlock()
		if !f.authorized(r) {
			write(w, http.StatusUnauthorized, api.Error{Code: "unauthorized", Message: "no token"})
			return
		}
		if f.misdirected != "" {
			write(w, http.StatusMisdirectedRequest, api.Error{Code: "wrong_host", Message: f.misdirected})
			return
		}
		write(w, http.StatusOK, what(r))
	})
}

func (f *fixture) act(w http.ResponseWriter, r *http.Request) {
	f.Lock()
	defer f.Unlock()
	var body any
	_ = json.NewDecoder(r.Body).Decode(&body) // most have none
	what := r.Method + " " + r.URL.EscapedPath()
	if body != nil {
		what += " " + fmt.Sprint(body)
	}
	if f.refuse != "" {
		write(w, http.StatusConflict, api.Error{Code: "failed", Message: f.refuse})
		return
	}
	f.acts = append(f.acts, what)
	if r.URL.Path == "/api/v1/tokens" {
		write(w, http.StatusCreated, map[string]string{"name": "office", "secret": "relay_S3CRET", "line": "relay --tokenFile=<file with its token> --localForwardPort=<its port> relay.example.com 8080"})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (f *fixture) logIn(w http.ResponseWriter, r *http.Request) {
	f.Lock()
	defer f.Unlock()
	var in struct{ Token string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Token != f.token {
		write(w, http.StatusUnauthorized, api.Error{Code: "unauthorized", Message: "no token"})
		return
	}
	http.SetCookie(w, &http.Cookie{Name: fixtureCookie, Value: f.token, Path: "/", HttpOnly: true})
	w.WriteHeader(http.StatusNoContent)
}

func (f *fixture) logOut(w http.ResponseWriter, _ *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: fixtureCookie, Path: "/", MaxAge: -1})
	w.WriteHeader(http.StatusNoContent)
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the browser may be gone
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// some returns those of a tunnel, if one is asked for, up to the limit.
func some[T any](list []T, r *http.Request, tunnel func(T) string) []T {
	out := []T{}
	most, _ := strconv.Atoi(r.FormValue("limit"))
	for _, item := range list {
		if len(out) < most && (r.FormValue("tunnel") == "" || r.FormValue("tunnel") == tunnel(item)) {
			out = append(out, item)
		}
	}
	return out
}
