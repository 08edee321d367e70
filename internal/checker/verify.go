package checker

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// Rules are what a run is held to.
type Rules struct {
	// Faulty allows connections to fail, if they say so.
	Faulty bool
	// Stalls allows them besides to hang, as users behind a network that is gone do.
	Stalls bool
}

// Violation is something that must not be.
type Violation struct {
	// Invariant is I1 to I7, "complete" for a connection of a clean run that
	// was not, or "hang" for one that had to be given up.
	Invariant string `json:"invariant"`
	Text      string `json:"text"`
	// Plan is that of the connection; with its run and seed it can be had again.
	Plan Plan `json:"plan"`
}

func (v Violation) String() string {
	if v.Plan.Mode == 0 {
		return v.Invariant + ": " + v.Text
	}
	p := v.Plan
	return fmt.Sprintf("%s: %s (mode %v, seed %d, run %d, index %d, up %d, down %d, linger %v)",
		v.Invariant, v.Text, p.Mode, p.Seed, p.Run, p.Index, p.Up, p.Down, p.Linger)
}

// Report is what came out.
type Report struct {
	Violations []Violation
	Summary    Summary
}

// maxLine is more than any record has.
const maxLine = 1 << 20

// Verify compares the records of users with those of the server. It passes over a last
// line that is cut off, because its writer died. It holds all records at a time, about a
// kilobyte each. The error is of reading.
func Verify(rules Rules, records ...io.Reader) (*Report, error) {
	v := &verifier{
		rules:    rules,
		users:    make(map[Nonce]*Record),
		servers:  make(map[Nonce][]*Record),
		byServer: make(map[Nonce]*Record),
		greeted:  make(map[Nonce]*Record),
	}
	for _, r := range records {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, maxLine)
		var bad error
		for lines.Scan() {
			if bad != nil {
				return nil, bad
			}
			rec := new(Record)
			if err := json.Unmarshal(lines.Bytes(), rec); err != nil {
				bad = fmt.Errorf("checker: a record: %w", err)
				continue
			}
			v.add(rec)
		}
		if err := lines.Err(); err != nil {
			return nil, err
		}
	}
	v.verify()
	slices.SortStableFunc(v.found, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.Invariant, b.Invariant), cmp.Compare(a.Plan.Run, b.Plan.Run), cmp.Compare(a.Plan.Index, b.Plan.Index))
	})
	return &Report{Violations: v.found, Summary: v.summarize()}, nil
}

type verifier struct {
	rules    Rules
	order    []*Record           // users, as they were read
	users    map[Nonce]*Record   // by their nonce
	servers  map[Nonce][]*Record // by the nonce of the user they heard
	silent   []*Record           // servers that heard no user
	byServer map[Nonce]*Record   // servers, by their own nonce
	greeted  map[Nonce]*Record   // users, by the nonce of the server they heard
	found    []Violation
}

func (v *verifier) violation(invariant string, rec *Record, format string, args ...any) {
	v.found = append(v.found, Violation{Invariant: invariant, Text: fmt.Sprintf(format, args...), Plan: rec.Plan})
}

func (v *verifier) add(rec *Record) {
	switch {
	case rec.Side == Server:
		v.byServer[rec.ServerNonce] = rec
		if rec.Nonce == (Nonce{}) {
			v.silent = append(v.silent, rec)
			return
		}
		v.servers[rec.Nonce] = append(v.servers[rec.Nonce], rec)
	case v.users[rec.Nonce] != nil:
		v.violation("I6", rec, "two users have nonce %v: two runs had the same seed and run", rec.Nonce)
	default:
		v.order = append(v.order, rec)
		v.users[rec.Nonce] = rec
		if other := v.greeted[rec.ServerNonce]; other != nil && rec.ServerNonce != (Nonce{}) {
			v.violation("I1", rec, "the hello of server connection %v came to user %v too", rec.ServerNonce, other.Nonce)
		}
		v.greeted[rec.ServerNonce] = rec
	}
}

func (v *verifier) verify() {
	for _, user := range v.order {
		served := v.servers[user.Nonce]
		if len(served) > 1 {
			v.violation("I6", user, "%d connections of the server heard user %v", len(served), user.Nonce)
		}
		server := v.server(user, served)
		v.content(user)
		v.flow(user, server)
		if server != nil {
			v.flow(server, user)
			v.same(user, server)
			v.same(server, user)
		}
		v.hang(user)
		if !v.rules.Faulty {
			v.complete(user, server)
		}
	}
	for nonce, served := range v.servers {
		for _, server := range served {
			if v.users[nonce] == nil {
				v.flow(server, nil)
				if !v.rules.Faulty { // or it may have been killed before it could write
					v.violation("I1", server, "the server heard a user %v who does not exist", nonce)
				}
			}
			v.content(server)
			v.hang(server)
		}
	}
	for _, server := range v.silent {
		v.unheard(server)
	}
}

// server gives the connection of the server that a user had, or nil.
func (v *verifier) server(user *Record, served []*Record) *Record {
	greeter := v.byServer[user.ServerNonce]
	if len(served) == 0 {
		return greeter // it spoke first, and the user's header was lost
	}
	for _, server := range served {
		if server == greeter || greeter == nil {
			return server
		}
	}
	v.violation("I1", user, "user %v was greeted by server connection %v, and heard by %v",
		user.Nonce, user.ServerNonce, served[0].ServerNonce)
	return served[0]
}

// content checks what one side noticed by itself.
func (v *verifier) content(rec *Record) {
	for _, anomaly := range rec.Anomalies {
		v.violation("I1", rec, "%s: %s", rec.Side, anomaly)
	}
	if rec.WrongAt < 0 {
		return
	}
	dir := up
	if rec.Side == User && !rec.Mode.script().echo {
		dir = down
	}
	invariant, whose := v.whose(rec, dir)
	v.violation(invariant, rec, "%s %v received a wrong byte at %d: %s", rec.Side, rec.Nonce, rec.WrongAt, whose)
}

// flow checks the direction to rec, against what its peer says, who may be nil.
func (v *verifier) flow(rec, peer *Record) {
	if peer != nil && rec.Received > peer.Sent {
		v.violation("I2", rec, "%s %v received %d bytes of %d", rec.Side, rec.Nonce, rec.Received, peer.Sent)
	}
	if rec.ReadEnd != EndFIN {
		return
	}
	switch {
	case peer == nil:
		v.violation("I3", rec, "%s %v received a clean end, after %d bytes, from nobody", rec.Side, rec.Nonce, rec.Received)
	case peer.WriteEnd != EndFIN:
		v.violation("I3", rec, "%s %v received a clean end, after %d bytes, of a peer that has sent %d and did not end (%q)",
			rec.Side, rec.Nonce, rec.Received, peer.Sent, peer.WriteEnd)
	case rec.Received < peer.Sent:
		v.violation("I3", rec, "%s %v received a clean end after %d bytes of %d", rec.Side, rec.Nonce, rec.Received, peer.Sent)
	}
}

// same checks that who received everything received just that.
func (v *verifier) same(rec, peer *Record) {
	if rec.Received == peer.Sent && rec.ReceivedSHA != peer.SentSHA {
		v.violation("I2", rec, "%s %v received %d bytes, but not those that were sent", rec.Side, rec.Nonce, rec.Received)
	}
}

func (v *verifier) hang(rec *Record) {
	if v.rules.Stalls {
		return
	}
	if rec.ReadEnd == EndStalled || rec.WriteEnd == EndStalled {
		v.violation("hang", rec, "%s %v gave up after %d bytes sent, %d received", rec.Side, rec.Nonce, rec.Sent, rec.Received)
	}
}

// unheard checks a connection of the server on which no whole header came. A
// pool has many on which nothing does.
func (v *verifier) unheard(server *Record) {
	for _, anomaly := range server.Anomalies {
		v.violation("I2", server, "server %v: %s, but with %q", server.ServerNonce, anomaly, server.Wrong)
	}
	if server.Received > 0 && server.ReadEnd == EndFIN {
		v.violation("I3", server, "server connection %v received a clean end after %d bytes of a header",
			server.ServerNonce, server.Received)
	}
}
