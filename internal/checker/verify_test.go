package checker_test

import (
	"bytes"
	"context"
	"net"
	"testing"

	"github.com/seed96252745/relay/internal/checker"
)

// A process that is killed leaves half a line, and a peer without a record.
func TestVerifyAfterDeath(t *testing.T) {
	user, server := played(t, faults{}, checker.UseConfig{Users: 2, Modes: []checker.Mode{checker.Echo}, Up: 100})
	lines := bytes.SplitAfter(server.Bytes(), []byte("\n"))
	server = bytes.NewBuffer(append(lines[0], lines[1][:40]...))
	report := verified(t, checker.Rules{Faulty: true}, user, server)
	if len(report.Violations) != 1 || report.Violations[0].Invariant != "I3" {
		t.Errorf("got %v, want one I3: a user had a clean end, and no server has ended", report.Violations)
	}

	server = bytes.NewBuffer(append(lines[0][:40:40], '\n'))
	server.Write(lines[1])
	if _, err := checker.Verify(checker.Rules{}, user, server); err == nil {
		t.Error("got no error for a broken line that is not the last")
	}
}

// A user whom nobody serves is told, and it is in the records.
func TestRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	var records bytes.Buffer
	err = checker.Use(t.Context(), checker.UseConfig{
		To: l.Addr().String(), Users: 1, Modes: []checker.Mode{checker.Echo}, Records: &records,
	})
	if err != nil {
		t.Fatal(err)
	}
	report := verified(t, checker.Rules{Faulty: true}, &records, new(bytes.Buffer))
	if len(report.Violations) != 0 || report.Summary.Ends[checker.EndRefused] != 1 {
		t.Errorf("got %v and %v, want one refused and no violation", report.Summary.Ends, report.Violations)
	}
	if report = verified(t, checker.Rules{}, &records, new(bytes.Buffer)); len(report.Violations) != 1 {
		t.Errorf("got %v of a clean run, want one violation", report.Violations)
	}
}

// Users that are stopped reset, and the server is told so.
func TestStop(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var user, server bytes.Buffer
	serving, stopServer := context.WithCancel(t.Context())
	using, stopUsers := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- checker.Serve(serving, l, checker.ServeConfig{Records: &server}) }()
	conn, err := net.Dial("tcp", l.Addr().String()) // says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	used := make(chan error, 1)
	go func() {
		used <- checker.Use(using, checker.UseConfig{
			To: l.Addr().String(), Users: 1, Modes: []checker.Mode{checker.Download}, Down: 1 << 40, Records: &user,
		})
	}()
	hello := make([]byte, checker.HelloSize)
	if _, err := conn.Read(hello); err != nil {
		t.Errorf("a silent user got %v, want the hello", err)
	}
	stopUsers()
	if err := <-used; err != nil {
		t.Errorf("Use: %v", err)
	}
	stopServer()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	report := verified(t, checker.Rules{Faulty: true}, &user, &server)
	if len(report.Violations) != 0 || report.Summary.Ends[checker.EndStopped] != 1 {
		t.Errorf("got %v and %v, want one stopped and no violation", report.Summary.Ends, report.Violations)
	}
}

func TestLeaks(t *testing.T) {
	before := checker.Figures{Goroutines: 10, Descriptors: 20, HeapBytes: 10 << 20}
	for _, tt := range []struct {
		after checker.Figures
		want  int
	}{
		{before, 0},
		{checker.Figures{Goroutines: 15, Descriptors: 25, HeapBytes: 15 << 20}, 0},
		{checker.Figures{Goroutines: 16, Descriptors: 20, HeapBytes: 10 << 20}, 1},
		{checker.Figures{Goroutines: 16, Descriptors: 26, HeapBytes: 16 << 20}, 3},
	} {
		if got := checker.Leaks("relay", before, tt.after); len(got) != tt.want {
			t.Errorf("%+v after %+v: got %v, want %d violations", tt.after, before, got, tt.want)
		}
	}
}
