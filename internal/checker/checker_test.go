package checker_test

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/checker"
)

// hangs is how long a connection may be without progress where a proxy makes it
// hang, and patience elsewhere, where it is never over.
const (
	hangs    = 2 * time.Second
	patience = 30 * time.Second
)

// played runs users against a server behind a proxy, and gives both records.
func played(t *testing.T, f faults, users checker.UseConfig) (user, server *bytes.Buffer) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	user, server = new(bytes.Buffer), new(bytes.Buffer)
	stall := patience
	if f.swallowEnd {
		stall = hangs
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- checker.Serve(ctx, l, checker.ServeConfig{Records: server, Stall: stall})
	}()
	p := &proxy{server: l.Addr().String(), faults: f}
	users.To, users.Records, users.Stall = p.run(t), user, stall
	if users.Users == 0 {
		users.Users = 1
	}
	if err := checker.Use(t.Context(), users); err != nil {
		t.Errorf("Use: %v", err)
	}
	stop()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	return user, server
}

func verified(t *testing.T, rules checker.Rules, user, server *bytes.Buffer) *checker.Report {
	t.Helper()
	report, err := checker.Verify(rules, bytes.NewReader(user.Bytes()), bytes.NewReader(server.Bytes()))
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	return report
}

// An exact proxy passes in every mode, strictly.
func TestExactProxy(t *testing.T) {
	for _, mode := range checker.Modes() {
		t.Run(mode.String(), func(t *testing.T) {
			user, server := played(t, faults{}, checker.UseConfig{
				Users: 10, Parallel: 5, Modes: []checker.Mode{mode}, Up: 100_000, Down: 150_000,
				Linger: 20 * time.Millisecond, Vary: true, Seed: 7,
			})
			report := verified(t, checker.Rules{}, user, server)
			for _, v := range report.Violations {
				t.Errorf("got a violation of nothing: %v", v)
			}
			if got := report.Summary.Users; got != 10 {
				t.Errorf("got %d users, want 10", got)
			}
		})
	}
}

// What a run did follows from its seed.
func TestSeed(t *testing.T) {
	a := checker.NewPlan(1, 2, 3, checker.Echo, 10, 0, 0)
	if b := checker.NewPlan(1, 2, 3, checker.Echo, 10, 0, 0); a != b {
		t.Errorf("got %v and %v, want the same plan", a, b)
	}
	if b := checker.NewPlan(2, 2, 3, checker.Echo, 10, 0, 0); a.Nonce == b.Nonce {
		t.Error("two runs have the same nonce")
	}
}

// A user with an empty payload, and sizes at the edges of buffers and blocks.
func TestSizes(t *testing.T) {
	for _, size := range []int64{0, 1, 16<<10 - 1, 16 << 10, 64 << 10, 64<<10 + 1, 1 << 20} {
		user, server := played(t, faults{}, checker.UseConfig{
			Users: 4, Modes: []checker.Mode{checker.Echo, checker.Both, checker.AnswerReset, checker.HalfClose}, Up: size, Down: size,
		})
		for _, v := range verified(t, checker.Rules{}, user, server).Violations {
			t.Errorf("of %d bytes: %v", size, v)
		}
	}
}

// Whatever a proxy does wrong is found, and called by its name.
func TestBrokenProxy(t *testing.T) {
	const payload = 100_000
	two := &exchange{got: make(chan []byte)}
	for _, tt := range []struct {
		name   string
		faults faults
		mode   checker.Mode
		users  int
		faulty bool   // it is found even where connections may fail
		want   string // the invariant
		says   string
	}{
		{name: "drops a byte down", faults: faults{down: drop(70_000)}, mode: checker.Download, faulty: true, want: "I2", says: "1 bytes are missing"},
		{name: "drops a byte up", faults: faults{up: drop(70_000)}, mode: checker.Upload, faulty: true, want: "I2", says: "1 bytes are missing"},
		{name: "drops the last byte", faults: faults{down: drop(checker.HelloSize + payload - 1)}, mode: checker.Download, faulty: true, want: "I3", says: "of 100044"},
		{name: "drops a byte of the header", faults: faults{up: drop(10)}, mode: checker.Upload, faulty: true, want: "I2", says: "header"},
		{name: "drops a byte of the hello", faults: faults{down: drop(10)}, mode: checker.Download, faulty: true, want: "I1", says: "hello"},
		{name: "repeats a byte", faults: faults{down: twice(70_000)}, mode: checker.Download, faulty: true, want: "I2", says: "second time"},
		{name: "repeats the last byte", faults: faults{down: twice(checker.HelloSize + payload - 1)}, mode: checker.Download, faulty: true, want: "I2", says: "100045 bytes of 100044"},
		{name: "changes a byte", faults: faults{up: flip(70_000)}, mode: checker.Upload, faulty: true, want: "I2", says: "of no stream"},
		{name: "changes a byte of an echo", faults: faults{down: flip(70_000)}, mode: checker.Echo, faulty: true, want: "I2", says: "of no stream"},
		{name: "exchanges bytes of two users", faults: faults{down: instead(checker.HelloSize+1000, 100, two.swap)}, mode: checker.Download, users: 2, faulty: true, want: "I1", says: "belongs to user"},
		{name: "cuts with FIN", faults: faults{cut: 50_000}, mode: checker.Download, faulty: true, want: "I3", says: "clean end, after 50000 bytes"},
		{name: "cuts with RST", faults: faults{cut: 50_000, resetCut: true}, mode: checker.Download, want: "complete", says: "50000"},
		{name: "swallows the half-close", faults: faults{swallowEnd: true}, mode: checker.HalfClose, want: "I4", says: "stalled"},
		{name: "swallows the half-close of a faulty run", faults: faults{swallowEnd: true}, mode: checker.HalfClose, faulty: true, want: "hang"},
		{name: "ends both directions", faults: faults{endBoth: true}, mode: checker.HalfClose, faulty: true, want: "I3"},
		{name: "ends both directions, the other way", faults: faults{endBoth: true}, mode: checker.ServerHalfClose, faulty: true, want: "I3"},
		{name: "makes an end of the server's reset", faults: faults{finForReset: true}, mode: checker.AnswerReset, faulty: true, want: "I3", says: "own reset"},
		{name: "makes an end of the user's reset", faults: faults{finForReset: true}, mode: checker.UserReset, faulty: true, want: "I3", says: "own reset"},
		{name: "has two connections for a user", faults: faults{replay: true}, mode: checker.Echo, faulty: true, want: "I6", says: "2 connections"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			users := max(1, tt.users)
			user, server := played(t, tt.faults, checker.UseConfig{
				Users: users, Parallel: users, Modes: []checker.Mode{tt.mode}, Up: payload, Down: payload, Linger: 50 * time.Millisecond,
			})
			for _, faulty := range []bool{false, true} {
				report := verified(t, checker.Rules{Faulty: faulty}, user, server)
				found := slices.ContainsFunc(report.Violations, func(v checker.Violation) bool {
					return v.Invariant == tt.want && strings.Contains(v.Text, tt.says)
				})
				switch {
				case faulty && !tt.faulty && len(report.Violations) > 0 && tt.want == "complete":
					t.Errorf("faulty: got %v, want no violation", report.Violations)
				case (!faulty || tt.faulty) && !found && (faulty || tt.want != "hang"):
					t.Errorf("faulty=%v: got %v, want one of %s with %q", faulty, report.Violations, tt.want, tt.says)
				case !faulty && len(report.Violations) == 0:
					t.Error("clean: got no violation")
				}
			}
		})
	}
}
