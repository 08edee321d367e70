package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	relay "github.com/seed96252745/relay/cmd/relay"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/certificate"
)

// fake is an admin API with fixed answers, that notes what it is asked to change.
type fake struct {
	status   api.Status
	tunnels  []api.Tunnel
	users    []api.User
	ended    []api.Ended
	refusals []api.Refusal
	events   []api.Event
	token    string
	gone     bool // what is to be ended has ended

	mu    sync.Mutex // guards what follows
	asked []string
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.token != "" && r.Header.Get("Authorization") != "Bearer "+f.token {
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(api.Error{Code: "unauthorized", Message: "the token is wrong"})
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/api/v1")
	if r.Method != http.MethodGet {
		body, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.asked = append(f.asked, strings.TrimSpace(r.Method+" "+path+" "+string(body)))
		if f.gone {
			if path != "/bans" {
				w.WriteHeader(http.StatusNotFound)
			}
			_ = json.NewEncoder(w).Encode(api.Error{Code: "unknown_user", Message: "there is no user with this id"})
			return
		}
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if path == "/events" {
		for _, e := range f.events {
			data, _ := json.Marshal(e)
			fmt.Fprintf(w, "id: %d\ndata: %s\n\n", e.Seq, data)
		}
		return
	}
	answer := map[string]any{
		"/status": f.status, "/tunnels": f.tunnels, "/users": f.usersOf(r.FormValue("tunnel")), "/ended": f.ended, "/refusals": f.refusals,
	}[path]
	_ = json.NewEncoder(w).Encode(answer)
}

func (f *fake) usersOf(tunnel string) (found []api.User) {
	for _, u := range f.users {
		if tunnel == "" || u.Tunnel == tunnel {
			found = append(found, u)
		}
	}
	return found
}

func (f *fake) take() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.asked, "; ")
}

var moment = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func before(d time.Duration) time.Time { return moment.Add(-d) }

// newFake returns a relay with two tunnels, three users and a problem.
func newFake() *fake {
	since := before(5 * time.Minute)
	return &fake{
		status: api.Status{
			Kind: api.Relay, Version: "v1.2.3", Started: before(75 * time.Minute), Now: moment, Control: ":8080", Ports: "20000-29999",
			Tunnels: 2, Users: 3, Connections: 4311, Received: 1_250_000_000, Sent: 8_900_000_000,
			Problems: []api.Problem{{Code: "local_server_down", Tunnel: "t2", Text: "port 20002 (evil\x1b[2J): the local server refuses connections: start it", Since: &since}},
		},
		tunnels: []api.Tunnel{
			{ID: "t1", Port: 20001, Name: "web", Identity: "alice", Protocol: "multiplex", RelayClient: "198.51.100.7:4000", State: api.Up, Since: before(time.Hour), Users: 2, Received: 1000, Sent: 2000, RoundTripSeconds: 0.0123},
			{ID: "t2", Port: 20002, Name: "evil\x1b[2J", Protocol: "pool", RelayClient: "198.51.100.8:4000", State: api.LocalServerDown, Since: since, Error: "connection refused", Users: 1},
		},
		users: []api.User{
			{ID: "u1", Tunnel: "t1", Address: "192.0.2.1:1000", Since: before(3 * time.Second), Received: 10, Sent: 20},
			{ID: "u2", Tunnel: "t1", Address: "[2001:db8::7]:1001", Since: before(90 * time.Second), Received: 5, Sent: 5_000_000},
			{ID: "u3", Tunnel: "t2", Address: "192.0.2.9:1002", Since: before(time.Second)},
		},
		ended: []api.Ended{
			{At: before(time.Minute), Tunnel: "t1", Port: 20001, Name: "web", Identity: "alice", Address: "192.0.2.1:999", Joined: true, WaitedSeconds: 0.001, DurationSeconds: 2.5, Received: 85, Sent: 379, EndedBy: "server", How: "fin"},
			{At: before(3 * time.Minute), Tunnel: "t2", Port: 20002, Address: "192.0.2.9:998", Reason: "limit", Limit: "users_per_second"},
		},
		refusals: []api.Refusal{{At: before(2 * time.Minute), Event: "request_refused", Source: "203.0.113.5:7", Code: "unauthorized"}},
		events: []api.Event{
			{Seq: 1, At: moment, Level: "INFO", Event: "user_done", Fields: map[string]any{"port": 20001, "user": "192.0.2.1:999", "error": "a b\x1b[2J"}},
			{Seq: 2, At: moment, Level: "INFO", Event: "user_done", Fields: map[string]any{"port": 20002, "user": "192.0.2.9:998"}},
			{Seq: 3, At: moment, Level: "WARN", Event: api.EventsDropped, Fields: map[string]any{"count": 7}},
		},
	}
}

// serveSocket serves f at the socket of a relay or a forwarder in a state directory.
func serveSocket(t *testing.T, dir, kind string, number int, f http.Handler) (stop func()) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(dir, api.SocketName(kind, number)))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(f)
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return s.Close
}

// socketDir returns a state directory whose path is short enough for sockets.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "relay")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

type ran struct {
	status         int
	stdout, stderr string
}

func runRelay(t *testing.T, args ...string) ran {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status := relay.Run(t.Context(), args, &stdout, &stderr)
	return ran{status, stdout.String(), stderr.String()}
}

// want compares a run with what it has to be. Local times in the wanted output are written
// as {clock}.
func (r ran) want(t *testing.T, what string, status int, stdout, stderr string) {
	t.Helper()
	stdout = strings.ReplaceAll(stdout, "{started}", before(75*time.Minute).Local().Format(time.DateTime))
	for _, d := range []int{0, 1, 2, 3} {
		stdout = strings.ReplaceAll(stdout, fmt.Sprintf("{%d}", d), before(time.Duration(d)*time.Minute).Local().Format(time.TimeOnly))
	}
	if r.status != status || strings.TrimSpace(r.stdout) != strings.TrimSpace(stdout) || strings.TrimSpace(r.stderr) != strings.TrimSpace(stderr) {
		t.Errorf("%s: status %d, want %d\n%s\nwant\n%s\nstderr:\n%s\nwant\n%s", what, r.status, status, r.stdout, stdout, r.stderr, stderr)
	}
}

func TestStatus(t *testing.T) {
	dir := socketDir(t)
	serveSocket(t, dir, api.Relay, 8080, newFake())
	runRelay(t, "status", "--stateDir", dir).want(t, "status", 1, `
relay at :8080, up 1h15m
  started    {started}, version v1.2.3
  serves     ports 20000-29999, for those whom it knows
  tunnels    2 served, 0 away
  users      3 now, 0 waiting, 4,311 since the start
  bytes      1.2 GB from users, 8.9 GB to users

 PORT  NAME          STATE                                     FOR  USERS  RECEIVED    SENT  PROTOCOL   ROUND TRIP  RELAY CLIENT
20001  web of alice  up                                      1h00m      2    1.0 kB  2.0 kB  multiplex        12ms  198.51.100.7:4000
20002  evil\x1b[2J   local server down (connection refused)  5m00s      1       0 B     0 B  pool                -  198.51.100.8:4000

Problems:
  - port 20002 (evil\x1b[2J): the local server refuses connections: start it (for 5m00s)
`, "relay: there are problems: they are listed with what to do")

	var list []struct {
		Socket  string
		Status  api.Status
		Tunnels []api.Tunnel
	}
	r := runRelay(t, "status", "--json", "--stateDir", dir)
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil || r.status != 1 || len(list) != 1 || list[0].Status.Users != 3 ||
		len(list[0].Tunnels) != 2 || list[0].Socket != filepath.Join(dir, "admin-relay-8080.sock") {
		t.Errorf("%v: %+v", err, r)
	}
}

// The members of a group stand below it.
func TestStatusOfGroup(t *testing.T) {
	dir := socketDir(t)
	f := newFake()
	f.status.Problems = nil
	f.tunnels = []api.Tunnel{{
		ID: "t1", Port: 20001, Name: "web", Identity: "alice", Protocol: "mixed", State: api.Up, Since: before(time.Hour), Users: 3, RoundTripSeconds: 0.012,
		Group: "web", Members: []api.Member{
			{Name: "one\x1b[2J", RelayClient: "198.51.100.7:4000", Protocol: "event", State: api.Up, Since: before(time.Hour), RoundTripSeconds: 0.012, Users: 3},
			{RelayClient: "198.51.100.8:4000", Protocol: "pool", State: api.LocalServerDown, Error: "connection refused", Since: before(time.Minute)},
		},
	}}
	serveSocket(t, dir, api.Relay, 8080, f)
	runRelay(t, "status", "--stateDir", dir).want(t, "status", 0, `
relay at :8080, up 1h15m
  started    {started}, version v1.2.3
  serves     ports 20000-29999, for those whom it knows
  tunnels    2 served, 0 away
  users      3 now, 0 waiting, 4,311 since the start
  bytes      1.2 GB from users, 8.9 GB to users

 PORT  NAME          STATE                                     FOR  USERS  RECEIVED  SENT  PROTOCOL  ROUND TRIP  RELAY CLIENT
20001  web of alice  up                                      1h00m      3       0 B   0 B  mixed           12ms  2 members
       - one\x1b[2J  up                                      1h00m      3                  event           12ms  198.51.100.7:4000
       - member      local server down (connection refused)  1m00s      0                  pool               -  198.51.100.8:4000
`, "")
}

// A forwarder without tunnels and without problems is well, and is told what to do.
func TestStatusOfSeveral(t *testing.T) {
	dir := socketDir(t)
	well := newFake()
	well.status = api.Status{Kind: api.Forwarder, Version: "v1.2.3", Started: before(75 * time.Minute), Now: moment, Control: "relay.example.com:8080", Connect: []string{"relay ..."}}
	well.tunnels = nil
	serveSocket(t, dir, api.Forwarder, 4711, well)
	const text = `
forwarder to relay.example.com:8080, up 1h15m
  started    {started}, version v1.2.3
  tunnels    0 registered
  users      0 now, 0 waiting, 0 since the start
  bytes      0 B from users, 0 B to users

There are no tunnels.
To put a server online, run beside it:

  relay ...
`
	runRelay(t, "status", "--stateDir", dir).want(t, "one", 0, text, "")
	serveSocket(t, dir, api.Forwarder, 4712, well)
	runRelay(t, "status", "--stateDir", dir).want(t, "two", 0, text+text, "")
}

// A relay that another process has taken over from is not one to connect to.
func TestStatusOfAFormerRelay(t *testing.T) {
	dir := socketDir(t)
	former := newFake()
	former.status = api.Status{Kind: api.Relay, Version: "v1.2.3", Started: before(75 * time.Minute), Now: moment, Control: ":8080", Ports: "20000-29999", Users: 2, Successor: 4711, Connect: []string{"relay ..."}}
	former.tunnels = nil
	serveSocket(t, dir, api.Relay, 8080, former)
	runRelay(t, "status", "--stateDir", dir).want(t, "status", 0, `
relay at :8080, up 1h15m, ends with its users: process 4711 has taken over
  started    {started}, version v1.2.3
  serves     ports 20000-29999, for those whom it knows
  tunnels    0 served, 0 away
  users      2 now, 0 waiting, 0 since the start
  bytes      0 B from users, 0 B to users
`, "")
}

func TestNothingRuns(t *testing.T) {
	dir := socketDir(t)
	hint := "relay: nothing runs: no relay and no forwarder has its socket in " + dir + `
to run a relay:             relay 8080
to say which one it is:     --stateDir=<its folder>, --socket=<its socket> or --url=<its page>`
	for _, command := range []string{"status", "users", "log", "kick"} {
		args := []string{command, "--stateDir", dir}
		if command == "kick" {
			args = append(args, "u1")
		}
		runRelay(t, args...).want(t, command, 1, "", hint)
	}
	runRelay(t, "status", "--json", "--stateDir", dir).want(t, "JSON", 1, "[]", hint)
}

func TestUsers(t *testing.T) {
	dir := socketDir(t)
	serveSocket(t, dir, api.Relay, 8080, newFake())
	for _, tt := range []struct {
		args           []string
		status         int
		stdout, stderr string
	}{
		{[]string{"users"}, 0, `
ID   PORT  NAME          ADDRESS               FOR  RECEIVED    SENT
u2  20001  web of alice  [2001:db8::7]:1001  1m30s       5 B  5.0 MB
u1  20001  web of alice  192.0.2.1:1000         3s      10 B    20 B
u3  20002  evil\x1b[2J   192.0.2.9:1002         1s       0 B     0 B`, ""},
		{[]string{"users", "web", "--sort=received", "--limit=1"}, 0, `
ID   PORT  NAME          ADDRESS         FOR  RECEIVED  SENT
u1  20001  web of alice  192.0.2.1:1000   3s      10 B  20 B
and 1 more: --limit=2`, ""},
		{[]string{"users", "20002", "--json"}, 0, `[
  {
    "socket": "` + filepath.Join(dir, "admin-relay-8080.sock") + `",
    "users": [
      {
        "id": "u3",
        "tunnel": "t2",
        "address": "192.0.2.9:1002",
        "since": "2026-11-30T11:59:59Z",
        "received": 0,
        "sent": 0
      }
    ]
  }
]`, ""},
		{[]string{"users", "20003"}, 1, "", `relay: there is no tunnel "20003": give a port or a name that relay status shows`},
		{[]string{"users", "--sort=size"}, 2, "", "relay: --sort: there is no order \"size\"\none of:   --sort=since, --sort=received, --sort=sent"},
		{[]string{"users", "--limit=0"}, 2, "", "relay: --limit=0: it has to be 1 or more\nfor example:   --limit=100"},
	} {
		runRelay(t, append(tt.args, "--stateDir", dir)...).want(t, strings.Join(tt.args, " "), tt.status, tt.stdout, tt.stderr)
	}
}

// A tunnel without a name is shown under that of its token, and found by it.
func TestTunnelOfAToken(t *testing.T) {
	dir, f := socketDir(t), newFake()
	f.tunnels[1].Name, f.tunnels[1].Identity = "", "db1"
	f.ended[1].Identity = "db1"
	serveSocket(t, dir, api.Relay, 8080, f)
	runRelay(t, "users", "db1", "--stateDir", dir).want(t, "users", 0, `
ID   PORT  NAME  ADDRESS         FOR  RECEIVED  SENT
u3  20002  db1   192.0.2.9:1002   1s       0 B   0 B`, "")
	if r := runRelay(t, "log", "--tunnel=db1", "--stateDir", dir); strings.Count(r.stdout, "\n") != 1 || !strings.Contains(r.stdout, "192.0.2.9:998") {
		t.Errorf("log: %s%s", r.stdout, r.stderr)
	}
	if r := runRelay(t, "users", "alice", "--stateDir", dir); r.status != 1 {
		t.Errorf("a tunnel that has a name is found by its owner's: %d, %s", r.status, r.stdout)
	}
}

// Of more users than a process lists those that are not there are counted, too.
func TestManyUsers(t *testing.T) {
	dir, f := socketDir(t), newFake()
	f.users = slices.Repeat(f.users[:1], 10_000)
	f.status.Users, f.tunnels[0].Users = 12_000, 11_000
	serveSocket(t, dir, api.Relay, 8080, f)
	const table = `
ID   PORT  NAME          ADDRESS         FOR  RECEIVED  SENT
u1  20001  web of alice  192.0.2.1:1000   3s      10 B  20 B
`
	runRelay(t, "users", "--limit=1", "--stateDir", dir).want(t, "all", 0,
		table+"and 11,999 more: of each process the 10,000 oldest are looked at, relay users <port> has those of one tunnel", "")
	runRelay(t, "users", "web", "--limit=1", "--stateDir", dir).want(t, "of a tunnel", 0,
		table+"and 10,999 more: of each process the 10,000 oldest are looked at, relay users <port> has those of one tunnel", "")
}

func TestKick(t *testing.T) {
	for _, tt := range []struct {
		args           []string
		status         int
		stdout, stderr string
		asked          string
	}{
		{[]string{"u1"}, 0, "user u1 from 192.0.2.1:1000 was reset", "", "DELETE /users/u1"},
		{[]string{"192.0.2.1:1000"}, 0, "user u1 from 192.0.2.1:1000 was reset", "", "DELETE /users/u1"},
		{[]string{"u1", "--ban=10m"}, 0, "192.0.2.1/32 is shut out for 10m00s\nuser u1 from 192.0.2.1:1000 was reset", "",
			`POST /bans {"source":"192.0.2.1/32","seconds":600}; DELETE /users/u1`},
		{[]string{"u2", "--ban=1h"}, 0, "2001:db8::/64 is shut out for 1h00m\nuser u2 from [2001:db8::7]:1001 was reset", "",
			`POST /bans {"source":"2001:db8::/64","seconds":3600}; DELETE /users/u2`},
		{[]string{"20001", "--yes"}, 0, "the tunnel at port 20001 (web of alice) has ended, with 2 users", "", "POST /tunnels/t1/close"},
		{[]string{"web", "-y", "--ban=10s"}, 0, "198.51.100.7/32 is shut out for 10s\nthe tunnel at port 20001 (web of alice) has ended, with 2 users", "",
			`POST /bans {"source":"198.51.100.7/32","seconds":10}; POST /tunnels/t1/close`},
		{[]string{"20001"}, 2, "", "relay: this ends the tunnel at port 20001 (web of alice) and 2 users: there is no terminal to ask at\nto do it:   relay kick 20001 --yes", ""},
		{[]string{"u4"}, 1, "", `relay: there is no user and no tunnel "u4": relay users shows the IDs, and relay status the ports`, ""},
		{[]string{}, 2, "", "relay: 0 arguments are given; kick has one, the ID of a user, or the port or name of a tunnel\nto end a user:      relay kick <ID that relay users shows>\nto end a tunnel:    relay kick 20001", ""},
		{[]string{"u1", "--ban=0s"}, 2, "", "relay: --ban=0s: a ban lasts a second or more\nfor example:   --ban=10m", ""},
		{[]string{"u1", "--ban=10"}, 2, "", "relay: --ban: \"10\" is not a duration: a duration has a unit, as 500ms, 30s, 5m and 24h have\nfor example:   --ban=10m", ""},
	} {
		dir, f := socketDir(t), newFake()
		serveSocket(t, dir, api.Relay, 8080, f)
		what := strings.Join(tt.args, " ")
		runRelay(t, append([]string{"kick", "--stateDir", dir}, tt.args...)...).want(t, what, tt.status, tt.stdout, tt.stderr)
		if got := f.take(); got != tt.asked {
			t.Errorf("%s: it asked\n%s\nwant\n%s", what, got, tt.asked)
		}
	}
}

// A ban ends the user before kick does. Without one, somebody has to know that nothing was
// done.
func TestKickGone(t *testing.T) {
	dir, f := socketDir(t), newFake()
	f.gone = true
	serveSocket(t, dir, api.Relay, 8080, f)
	runRelay(t, "kick", "--stateDir", dir, "u1", "--ban=1m").want(t, "with a ban", 0, "192.0.2.1/32 is shut out for 1m00s\nuser u1 from 192.0.2.1:1000 was reset", "")
	runRelay(t, "kick", "--stateDir", dir, "u1").want(t, "without", 1, "", "relay: the relay at port 8080 says: there is no user with this id")
}

// Where several processes have what is meant nothing is ended.
func TestKickAtSeveral(t *testing.T) {
	dir := socketDir(t)
	a, b := newFake(), newFake()
	serveSocket(t, dir, api.Relay, 8080, a)
	serveSocket(t, dir, api.Forwarder, 77, b)
	b.users = nil
	runRelay(t, "kick", "--stateDir", dir, "u1").want(t, "a user of one", 0, "user u1 from 192.0.2.1:1000 was reset", "")
	runRelay(t, "kick", "--stateDir", dir, "-y", "20001").want(t, "a tunnel of both", 2, "", `relay: several have 20001: say which one is meant
for the relay at port 8080:   relay kick 20001 --socket=`+filepath.Join(dir, "admin-relay-8080.sock")+`
for the forwarder with process ID 77:   relay kick 20001 --socket=`+filepath.Join(dir, "admin-forwarder-77.sock"))
	if got := a.take() + b.take(); got != "DELETE /users/u1" {
		t.Errorf("it asked %s", got)
	}
}

// Each process counts its users from u1. An ID means a user of the relay, and nobody else has to
// go when that one has left.
func TestKickOfAnotherProcess(t *testing.T) {
	dir := socketDir(t)
	a, b := newFake(), newFake()
	serveSocket(t, dir, api.Relay, 8080, a)
	serveSocket(t, dir, api.Forwarder, 77, b)
	socket := filepath.Join(dir, "admin-forwarder-77.sock")
	runRelay(t, "kick", "--stateDir", dir, "u1").want(t, "a user of both", 0, "user u1 from 192.0.2.1:1000 was reset", "")
	if got := b.take(); got != "" {
		t.Errorf("it asked the forwarder %s", got)
	}
	a.users = nil
	runRelay(t, "kick", "--stateDir", dir, "u1").want(t, "a user who has left the relay", 2, "", `relay: each process has IDs of its own: say which one is meant
for the forwarder with process ID 77:   relay kick u1 --socket=`+socket)
	if got := a.take() + b.take(); got != "DELETE /users/u1" {
		t.Errorf("it asked more: %s", got)
	}
	runRelay(t, "kick", "--socket", socket, "u1").want(t, "at its socket", 0, "user u1 from 192.0.2.1:1000 was reset", "")
}

func TestLog(t *testing.T) {
	dir := socketDir(t)
	serveSocket(t, dir, api.Relay, 8080, newFake())
	const (
		reset   = "{3} user_reset port=20002 user=192.0.2.9:998 limit=users_per_second reason=limit\n"
		refused = "{2} request_refused source=203.0.113.5:7 code=unauthorized\n"
		done    = "{1} user_done port=20001 identity=alice name=web user=192.0.2.1:999 waited=1ms received=85 sent=379 duration=2.5s endedBy=server how=fin\n"
		none    = "No such connection has ended yet, and no such request was refused.\nwhat happens from now on:   relay log --follow\nwhat has happened:          relay log"
		dropped = "{0} events_dropped count=7\n"
	)
	for _, tt := range []struct {
		args           []string
		status         int
		stdout, stderr string
	}{
		{[]string{}, 0, reset + refused + done, ""},
		{[]string{"--lines=1"}, 0, done, ""},
		{[]string{"--event=user_reset,request_refused"}, 0, reset + refused, ""},
		{[]string{"--tunnel=20001"}, 0, done, ""},
		{[]string{"--tunnel=web"}, 0, done, ""},
		{[]string{"--identity=alice"}, 0, done, ""},
		{[]string{"--user=192.0.2.9"}, 0, reset, ""},
		{[]string{"--user=192.0.2.0/24"}, 0, reset + done, ""},
		{[]string{"--tunnel=20009"}, 0, "", none},
		{[]string{"--event=user_reset", "--json"}, 0, `{"seq":0,"at":"2026-11-30T11:57:00Z","level":"INFO","event":"user_reset","fields":{"limit":"users_per_second","port":20002,"reason":"limit","user":"192.0.2.9:998"}}`, ""},
		{[]string{"--follow", "--tunnel=20001"}, 1, "{0} user_done port=20001 user=192.0.2.1:999 error=\"a b\\x1b[2J\"\n" + dropped, "relay: the relay at port 8080 has ended"},
		{[]string{"-f", "--user=192.0.2.9/32"}, 1, "{0} user_done port=20002 user=192.0.2.9:998\n" + dropped, "relay: the relay at port 8080 has ended"},
		{[]string{"--follow", "--lines=2"}, 2, "", "relay: --lines is for what has happened, and --follow shows what happens from now on\nwhat happens from now on:   relay log --follow\nwhat has happened:          relay log"},
		{[]string{"--lines=0"}, 2, "", "relay: --lines=0: it has to be 1 or more\nfor example:   --lines=100"},
		{[]string{"--user=me"}, 2, "", "relay: --user: \"me\" is not a network: write 10.0.0.0/8 or 2001:db8::/32, or an address without /\nfor example:   --user=192.0.2.7, --user=192.0.2.0/24"},
	} {
		what := strings.Join(tt.args, " ")
		runRelay(t, append([]string{"log", "--stateDir", dir}, tt.args...)...).want(t, what, tt.status, tt.stdout, tt.stderr)
	}
	r := runRelay(t, "log", "--stateDir", dir, "--event=user_dome")
	if !strings.HasPrefix(r.stderr, "relay: --event: there is no event \"user_dome\"\none of:   tunnel_opened, ") || r.status != 2 {
		t.Errorf("%+v", r)
	}
}

// A command that needs one process takes the only relay, and otherwise has to be told.
func TestOneOfSeveral(t *testing.T) {
	dir := socketDir(t)
	f := newFake()
	serveSocket(t, dir, api.Forwarder, 77, f)
	serveSocket(t, dir, api.Forwarder, 78, f)
	lines := `relay: several run here: say which one is meant
for the forwarder with process ID 77:   relay log --socket=` + filepath.Join(dir, "admin-forwarder-77.sock") + `
for the forwarder with process ID 78:   relay log --socket=` + filepath.Join(dir, "admin-forwarder-78.sock")
	runRelay(t, "log", "--stateDir", dir).want(t, "two forwarders", 2, "", lines)
	serveSocket(t, dir, api.Relay, 8080, f)
	if r := runRelay(t, "log", "--stateDir", dir, "--lines=1"); r.status != 0 {
		t.Errorf("a relay and two forwarders: %+v", r)
	}
	if r := runRelay(t, "log", "--socket", filepath.Join(dir, "admin-forwarder-78.sock"), "--lines=1"); r.status != 0 {
		t.Errorf("a socket: %+v", r)
	}
}

// A process on another machine is reached over TLS, with a token and a pin.
func TestRemote(t *testing.T) {
	f := newFake()
	f.token = "relay_ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	f.status.Problems = nil
	s := httptest.NewUnstartedServer(f)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of the client that refuses the server
	s.StartTLS()
	t.Cleanup(s.Close)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(f.token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pin := "--tlsPin=" + certificate.Pin(s.Certificate())
	if r := runRelay(t, "status", "--url", s.URL, "--tokenFile", token, pin); r.status != 0 || !strings.Contains(r.stdout, "relay at :8080") {
		t.Errorf("%+v", r)
	}
	r := runRelay(t, "status", "--url", s.URL, pin)
	if r.status != 1 || r.stderr != "relay: "+s.URL+" says: the token is wrong\n" {
		t.Errorf("without the token: %+v", r)
	}
	wrong := "--tlsPin=sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	if r := runRelay(t, "status", "--url", s.URL, "--tokenFile", token, wrong); r.status != 1 || !strings.Contains(r.stderr, "does not match --tlsPin") || strings.Contains(r.stderr, f.token) {
		t.Errorf("with a wrong pin: %+v", r)
	}
	runRelay(t, "status", "--url=http://relay.example.com:8081", "--tokenFile", token).want(t, "plain text", 2, "",
		"relay: --url: the token would go to \"relay.example.com:8081\" in plain text\nfor example:   --url=https://relay.example.com:8081")
	runRelay(t, "status", "--url=relay.example.com").want(t, "no URL", 2, "",
		"relay: --url: \"relay.example.com\" is no URL of an admin API\nfor example:   --url=https://relay.example.com:8081")
	runRelay(t, "status", "--tokenFile", token).want(t, "a token alone", 2, "",
		"relay: --tokenFile, --tlsCa and --tlsPin are for --url; a socket needs none of them\nfor example:   --url=https://relay.example.com:8081 --tokenFile=admin.token")
}

func TestSocketErrors(t *testing.T) {
	dir := socketDir(t)
	missing := filepath.Join(dir, "admin-relay-1.sock")
	runRelay(t, "status", "--socket", missing).want(t, "missing", 1, "", "relay: there is no socket "+missing+": its process has ended, or it is another one")
	runRelay(t, "status", "--socket", missing, "--stateDir", dir).want(t, "both", 2, "",
		"relay: --stateDir, --socket and --url each say which process is meant: take one\none of:   --stateDir=<folder>, --socket=<path>, --url=<https://host:port>")
	if runtime.GOOS == "windows" {
		return // the rest is about owners, and sockets that stay
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: missing, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	runRelay(t, "status", "--socket", missing).want(t, "left behind", 1, "", "relay: nobody answers at "+missing+": its process has ended")
	if got := relay.ExplainSocket(os.ErrDeadlineExceeded, missing).Error(); got != missing+": its process runs, and does not answer: it is stopped, or has too much to do" {
		t.Error(got)
	}
	if got := relay.ExplainSocket(&fs.PathError{Op: "open", Path: missing, Err: fs.ErrPermission}, missing).Error(); !strings.HasPrefix(got, missing+" is its owner's alone: run this as its owner:   sudo -u ") {
		t.Error(got)
	}
}
