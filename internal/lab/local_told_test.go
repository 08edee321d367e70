//go:build lab && linux

package lab_test

import (
	"bufio"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/checker"
)

// told is what a user says of itself, at the end.
type told struct{ checker.Record }

func (u told) complete() bool { return u.ReadEnd == checker.EndFIN && u.WriteEnd == checker.EndFIN }

func (u told) ended() time.Time { return u.Start.Add(u.End) }

// users gives what every user has said. They have ended.
func (p *localPlay) users() (all []told) {
	p.t.Helper()
	for _, name := range p.files {
		all = append(all, toldIn(p.t, name)...)
	}
	return all
}

// toldIn gives what the users have said whose file it is.
func toldIn(t *testing.T, name string) (all []told) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var u told
		if err := json.Unmarshal(lines.Bytes(), &u.Record); err != nil {
			t.Fatal(err)
		}
		if u.Side == checker.User {
			all = append(all, u)
		}
	}
	return all
}

// loggedAt gives when a line of a log was written.
func loggedAt(t *testing.T, line string) time.Time {
	t.Helper()
	var entry struct{ Time time.Time }
	if err := json.Unmarshal([]byte(line), &entry); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return entry.Time
}

// logged waits for a message in the log, and gives when it was written.
func (p *localProcess) logged(message string) time.Time {
	p.t.Helper()
	return p.loggedAgain(message, 0)
}

// loggedAgain passes over the message so many times.
func (p *localProcess) loggedAgain(message string, before int) time.Time {
	p.t.Helper()
	var entry struct {
		Time time.Time
		Msg  string
	}
	p.line(0, "saying "+message, func(line string) bool {
		if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &entry) != nil || entry.Msg != message {
			return false
		}
		before--
		return before < 0
	})
	return entry.Time
}

// publics is how many public addresses a forwarder has had.
func (p *localProcess) publics() int {
	seen := make(map[string]bool)
	for _, line := range p.from(0) {
		if public, _, found := strings.Cut(line, " -> "); found {
			seen[public] = true
		}
	}
	return len(seen)
}

// serving is who has served whom, by what the relay says.
type serving struct {
	clients map[string]string // relay clients, by the addresses of users
	last    string            // relay client that has registered
	tunnels int
}

// servedBy waits until the relay has said of every user, all of whom have ended, who
// has served them: it counts them out before it says so.
func (r *localRig) servedBy() (by serving) {
	r.t.Helper()
	users := r.users()
	until(r.t, "the relay has said who has served every user", func() bool {
		by = r.served()
		return !slices.ContainsFunc(users, func(u told) bool { return by.clients[u.Local] == "" })
	})
	return by
}

// served gives who has served whom by now.
func (r *localRig) served() serving {
	by := serving{clients: make(map[string]string)}
	for _, line := range r.relay.from(0) {
		var entry struct{ Msg, User, RelayClient string }
		if json.Unmarshal([]byte(line), &entry) != nil {
			continue
		}
		switch entry.Msg {
		case "tunnel opened":
			by.last = entry.RelayClient
			by.tunnels++
		case "user done":
			by.clients[entry.User] = entry.RelayClient
		}
	}
	return by
}
