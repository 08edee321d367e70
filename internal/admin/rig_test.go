package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/admin"
	"github.com/seed96252745/relay/internal/api"
)

// patience bounds every wait. It is never reached unless the code is wrong.
const patience = time.Minute

// node is a Node with one tunnel and one user, that notes what it is asked to do.
type node struct {
	mu     sync.Mutex // guards what follows
	asked  []string
	status api.Status
	more   []api.Tunnel
	fails  error
}

// has gives the node more tunnels.
func (n *node) has(more ...api.Tunnel) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.more = more
}

func (n *node) is(status api.Status) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.status = status
}

func (n *node) fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fails = err
}

func (n *node) ask(what string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, what)
	return n.fails
}

// take returns what it was asked to do since the last time.
func (n *node) take() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := strings.Join(n.asked, "; ")
	n.asked = nil
	return all
}

func (n *node) Status() api.Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.status.Kind == "panic" {
		panic("a bug")
	}
	return n.status
}

func (n *node) Tunnels() []api.Tunnel {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]api.Tunnel{{ID: "t1", Port: 20001, Name: "web", State: api.Up}}, n.more...)
}

func (n *node) Users(tunnel string, limit int) []api.User {
	if tunnel != "" && tunnel != "t1" {
		return nil
	}
	return make([]api.User, min(limit, 200))
}
func (n *node) Ended(string, int) []api.Ended { return nil }
func (n *node) Refusals(int) []api.Refusal    { return nil }
func (n *node) Limits() []api.Limit           { return nil }
func (n *node) Causes() api.Causes            { return api.Causes{Minutes: []api.Minute{{}}} }
func (n *node) Bans() []api.Ban               { return nil }
func (n *node) CloseTunnel(id string) error   { return n.known("t1", id, "close") }
func (n *node) Pause(id string) error         { return n.known("t1", id, "pause") }
func (n *node) Resume(id string) error        { return n.known("t1", id, "resume") }
func (n *node) EndUser(id string) error       { return n.known("u1", id, "end") }
func (n *node) Unban(source netip.Prefix) error {
	return n.known("192.0.2.0/24", source.String(), "unban")
}
func (n *node) Ban(source netip.Prefix, d time.Duration) error {
	return n.ask("ban " + source.String() + " " + d.String())
}

func (n *node) NewToken(name string) (secret, line string, err error) {
	return "secret of " + name, "relay ...", n.ask("token " + name)
}
func (n *node) Reload() error { return n.ask("reload") }
func (n *node) Drain()        { _ = n.ask("drain") }

func (n *node) known(known, id, what string) error {
	if id != known {
		return admin.ErrUnknown
	}
	return n.ask(what + " " + id)
}

// rig is a server with its listener, on loopback unless it is given.
type rig struct {
	testing.TB
	*admin.Server
	node   *node
	base   string
	client *http.Client
}

func start(t testing.TB, access admin.Access) *rig {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startAt(t, l, access)
}

func startAt(t testing.TB, l net.Listener, access admin.Access) *rig {
	t.Helper()
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") })
	r := &rig{TB: t, node: &node{status: api.Status{Kind: api.Relay, Tunnels: 1}}, base: "http://" + l.Addr().String()}
	r.Server = admin.New(admin.Config{Node: r.node, Events: admin.NewStream(), Log: slog.New(slog.DiscardHandler), Page: page, Metrics: page,
		Upgrade: func(context.Context) (api.Upgrade, error) { return api.Upgrade{PID: 7}, nil }})
	transport := &http.Transport{Proxy: nil}
	r.client = &http.Client{Transport: transport, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	served := make(chan error, 1)
	go func() { served <- r.Serve(l, access) }()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		r.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve returns %v", err)
		}
	})
	return r
}

// request is a request, with headers as "Name: value".
func (r *rig) request(method, path, body string, headers ...string) *http.Request {
	r.Helper()
	request, err := http.NewRequestWithContext(r.Context(), method, r.base+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		switch name {
		case "":
		case "Host":
			request.Host = value
		default:
			request.Header.Set(name, value)
		}
	}
	return request
}

// reply is an answer that was read.
type reply struct {
	*http.Response
	body string
}

func (r *rig) do(request *http.Request) reply {
	r.Helper()
	answer, err := r.client.Do(request)
	if err != nil {
		r.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		r.Fatal(err)
	}
	return reply{answer, string(body)}
}

func (r *rig) ask(method, path, body string, headers ...string) reply {
	r.Helper()
	return r.do(r.request(method, path, body, headers...))
}

// wantError checks an answer that is not a success.
func (r reply) wantError(t testing.TB, status int, code string) {
	t.Helper()
	var e api.Error
	if err := json.Unmarshal([]byte(r.body), &e); err != nil || r.StatusCode != status || e.Code != code || e.Message == "" {
		t.Errorf("%s %s: status %d, %s; want %d, %s", r.Request.Method, r.Request.URL, r.StatusCode, r.body, status, code)
	}
}

// decode reads an answer that is a success.
func (r reply) decode(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), v); err != nil || r.StatusCode/100 != 2 {
		t.Fatalf("%s %s: status %d, %s: %v", r.Request.Method, r.Request.URL, r.StatusCode, r.body, err)
	}
}

// wantStatus checks the status of an answer.
func (r reply) wantStatus(t testing.TB, status int) {
	t.Helper()
	if r.StatusCode != status {
		t.Errorf("%s %s: status %d, %s; want %d", r.Request.Method, r.Request.URL, r.StatusCode, r.body, status)
	}
}

// exchange sends text, and returns all that comes back.
func exchange(t testing.TB, conn net.Conn, text string) string {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}
