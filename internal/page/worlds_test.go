package page_test

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/seed96252745/relay/internal/api"
)

// one puts a tunnel with a user online.
func (f *fixture) one() {
	f.Lock()
	defer f.Unlock()
	now := time.Now().UTC()
	opened := now.Add(-2 * time.Hour)
	f.status.Tunnels, f.status.Users, f.status.Connections = 1, 1, 7
	f.tunnels = []api.Tunnel{{
		ID: "t1", Public: "relay.example.com:20001", Port: 20001, Name: "web", Identity: "office", Protocol: "multiplex",
		RelayClient: "192.0.2.10:40112", State: api.Up, Since: opened, Opened: &opened, RoundTripSeconds: 0.0123,
		Probe: &api.Probe{At: now.Add(-3 * time.Second), OK: true, TookSeconds: 0.0131, DialSeconds: 0.0004},
		Users: 1, Connections: 7, Received: 4_200_000, Sent: 93_000_000,
	}}
	f.users = []api.User{{ID: "u1", Tunnel: "t1", Address: "198.51.100.7:51000", Since: now.Add(-time.Minute), Received: 1200, Sent: 450_000}}
	f.ended = []api.Ended{
		{At: now.Add(-4 * time.Second), Tunnel: "t1", Name: "web", Address: "198.51.100.8:51001", Joined: true, WaitedSeconds: 0.0013,
			DurationSeconds: 12.5, Received: 3000, Sent: 800_000, EndedBy: "server", How: "reset", Error: "connection reset by peer"},
		{At: now.Add(-40 * time.Second), Tunnel: "t1", Name: "web", Address: "198.51.100.9:51002", WaitedSeconds: 10, Reason: "wait_timeout"},
	}
	f.refusals = []api.Refusal{{At: now.Add(-time.Minute), Event: "request_refused", Source: "203.0.113.5", Code: "unauthorized", Reason: "unknown_id", Error: "no such token"}}
	f.limits = []api.Limit{
		{Name: "users", Flag: "--maxUsers", Max: 10_000, Used: 9200, Met: 3},
		{Name: "users_per_source", Flag: "--maxUsersPerSource", Max: 100, Used: -1},
		{Name: "handshakes", Max: -1, Used: 2},
	}
	for i := range 60 {
		f.causes.Minutes = append(f.causes.Minutes, api.Minute{
			At: now.Add(time.Duration(i-59) * time.Minute), Ends: map[string]int64{"user/fin": int64(i % 7), "server/reset": 1},
			Resets: map[string]int64{"wait_timeout": int64(i % 2)}, Refused: map[string]int64{"unknown_id": 1},
		})
	}
	f.bans = []api.Ban{{Source: "203.0.113.0/24", Until: now.Add(10 * time.Minute)}}
}

// merge adds to many tunnels what one has beside itself.
func (f *fixture) merge() {
	var g fixture
	g.one()
	f.ended, f.refusals, f.limits, f.causes, f.bans = g.ended, g.refusals, g.limits, g.causes, g.bans
}

// states are all that a tunnel may have, with the words that the page has for them.
var states = map[api.State]string{
	api.Up: "Up", api.LocalServerDown: "Local server down", api.Silent: "Relay client silent", api.Unreachable: "Relay client unreachable",
	api.Away: "Away", api.Paused: "Paused", api.Unknown: "Unknown", api.Connecting: "Connecting",
}

// many puts tunnels and users online, in all states.
func (f *fixture) many(tunnels, users int) {
	f.Lock()
	defer f.Unlock()
	now := time.Now().UTC()
	f.status.Tunnels, f.status.Users = tunnels, users
	names := slices.Sorted(maps.Keys(states))
	for i := range tunnels {
		t := api.Tunnel{
			ID: fmt.Sprintf("t%d", i), Public: fmt.Sprintf("relay.example.com:%d", 20000+i), Port: 20000 + i, Name: fmt.Sprintf("service-%d", i),
			Identity: fmt.Sprintf("customer-%d", i%50), Protocol: []string{"multiplex", "pool", "event"}[i%3], RelayClient: fmt.Sprintf("192.0.2.%d:4000", i%250),
			State: api.Up, Since: now.Add(-time.Duration(i) * time.Minute), RoundTripSeconds: 0.001 * float64(1+i%90),
			Received: int64(i) * 100_000, Sent: int64(i) * 1_000_000, Connections: int64(i),
		}
		if i%10 == 3 {
			t.State = names[i/10%len(names)]
		}
		if t.State == api.LocalServerDown {
			t.Error = "connection refused"
		}
		f.tunnels = append(f.tunnels, t)
	}
	for i := range users {
		n := i * 7 % tunnels
		f.tunnels[n].Users++
		f.users = append(f.users, api.User{
			ID: fmt.Sprintf("u%d", i), Tunnel: f.tunnels[n].ID, Address: fmt.Sprintf("198.51.%d.%d:%d", i/250%250, i%250, 10000+i),
			Since: now.Add(-time.Duration(users-i) * time.Second), Received: int64(i), Sent: int64(i) * 1000,
		})
	}
}

// flow has bytes go through all tunnels, and users.
func (f *fixture) flow() {
	for i := range f.tunnels {
		t := &f.tunnels[i]
		t.Received += int64(1000 + i*10)
		t.Sent += int64(50_000 + i*1000)
		f.status.Received += int64(1000 + i*10)
		f.status.Sent += int64(50_000 + i*1000)
	}
	for i := range f.users {
		f.users[i].Received += 100
		f.users[i].Sent += 5000
	}
}
