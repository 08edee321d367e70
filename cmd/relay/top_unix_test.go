//go:build unix

package main_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/seed96252745/relay/cmd/relay/termtest"
	"github.com/seed96252745/relay/internal/api"
)

// seat is a person before a terminal on which relay top runs.
type seat struct {
	*testing.T
	*termtest.Terminal
}

func sit(t *testing.T, columns, lines int, args ...string) seat {
	t.Helper()
	cmd := exec.Command("relay", args...)
	cmd.Env = append(os.Environ(), "TERM=xterm-256color", "GORACE=atexit_sleep_ms=0")
	terminal, err := termtest.Start(cmd, columns, lines)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(terminal.Close)
	return seat{t, terminal}
}

// sees waits for something on the screen.
func (s seat) sees(pattern string) {
	s.Helper()
	if !s.WaitFor(regexp.MustCompile("(?m)"+pattern), patience) {
		s.Fatalf("the screen does not show %q; it shows\n%s", pattern, s.Text())
	}
}

// types types keys, and waits for something on the screen.
func (s seat) types(keys, pattern string) {
	s.Helper()
	if err := s.Type(keys); err != nil {
		s.Fatal(err)
	}
	s.sees(pattern)
}

// quits ends the program, which has to leave the screen as it was.
func (s seat) quits(keys string) {
	s.Helper()
	if err := s.Type(keys); err != nil {
		s.Fatal(err)
	}
	if status, err := s.Wait(patience); status != 0 || err != nil {
		s.Errorf("status %d, %v; the screen shows\n%s", status, err, s.Text())
	}
	s.sees(`\A\s*\z`)
}

// The screen has the tunnels, their trouble and the last ends, at every size.
func TestTop(t *testing.T) {
	dir := socketDir(t)
	serveSocket(t, dir, api.Relay, 8080, newFake())
	for _, size := range [][2]int{{80, 24}, {200, 50}} {
		s := sit(t, size[0], size[1], "top", "--stateDir", dir)
		s.sees(`^relay at :8080  up 1h15m  2 tunnels  3 users  in - +out -`)
		s.sees(`^! port 20002 \(evil\\x1b\[2J\): the local server refuses connections: start it`)
		s.sees(`^ +20001  web of al\S*( alice)? +up +1h00m +2 `)
		s.sees(`^ +20002  evil\\x1b\[2\S* +local server down +5m00s +1 `)
		s.sees(`^\S+  20001 .*192\.0\.2\.1:999 +2s +85 B +379 B  server fin$`)
		s.sees(`^\S+  20002 .*192\.0\.2\.9:998 +0s +0 B +0 B  reset: users\S*$`)
		s.sees(`q quit\s*\z`)
		s.quits("q")
	}
}

// A screen that is too small shows what fits, and one that grows shows more.
func TestTopResized(t *testing.T) {
	dir := socketDir(t)
	serveSocket(t, dir, api.Relay, 8080, newFake())
	s := sit(t, 30, 6, "top", "--stateDir", dir)
	s.sees(`^ +20001 `)
	if strings.Contains(s.Text(), "last ends") {
		t.Errorf("there is no room for ends:\n%s", s.Text())
	}
	if err := s.Resize(100, 30); err != nil {
		t.Fatal(err)
	}
	s.sees(`^last ends$`)
	s.sees(`ROUND TRIP`)
	s.quits("\x03")
}

func TestTopKeys(t *testing.T) {
	dir, f := socketDir(t), newFake()
	serveSocket(t, dir, api.Relay, 8080, f)
	s := sit(t, 80, 24, "top", "--stateDir", dir)
	s.sees(`(?s)PORT▼.*20001.*20002`)
	s.types("r", `(?s)PORT▲.*20002.*20001`)
	s.types("s", `(?s)NAME▼.*20002 +evil.*20001 +web`)
	s.types("ss", `FOR▼`)
	s.types("S", `(?s)STATE▼.*20002.*20001`)
	s.types("/WEB", `^/WEB `)
	s.types("\r", `(?s)^tunnels with WEB$`)
	s.sees(`(?s)STATE▼[^\n]*\n +20001[^\n]*\n\n`)
	s.types("\x1b", `^tunnels$`)
	s.types("/none", `^The search finds none\. Esc ends it\.$`)
	s.types("\x1b", `^tunnels$`)
	s.types("?", `^x +end the user, or the tunnel`)
	s.types(" ", `^last ends$`)

	// Nothing is done without a yes.
	s.types("G", `20001`)
	s.types("x", `^End the tunnel at port 20001 \(web of alice\), with 2 users\? y/n *$`)
	s.types("n", `^nothing was done$`)
	s.types("x", `y/n`)
	s.types("\r", `^nothing was done$`)
	s.types("\r", `^users of port 20001 \(web of alice\)$`)
	s.sees(`(?s)FOR▼.*\[2001:db8::7\]:1001.*192\.0\.2\.1:1000`)
	s.types("G", `192\.0\.2\.1`)
	s.types("x", `^Reset the connection of 192\.0\.2\.1:1000 \(u1\)\? y/n *$`)
	if got := f.take(); got != "" {
		t.Errorf("before an answer it asked %s", got)
	}
	s.types("y", `^192\.0\.2\.1:1000 was reset$`)
	s.types("\x1b", `^tunnels$`)
	s.types("x", `^End the tunnel at port 20001 `)
	s.types("y", `^the tunnel at port 20001 \(web of alice\) has ended$`)
	s.types("p", `^Have the tunnel at port 20001 \(web of alice\) take no new users\? y/n`)
	s.types("y", `takes no new users$`)
	if got := f.take(); got != "DELETE /users/u1; POST /tunnels/t1/close; POST /tunnels/t1/pause" {
		t.Errorf("it asked %s", got)
	}
	s.types("u", `(?s)^users of all tunnels$.*192\.0\.2\.9:1002`)
	s.quits("q")
}

// A process that goes away is missed, and found again.
func TestTopWithoutAnAnswer(t *testing.T) {
	dir := socketDir(t)
	first := serveSocket(t, dir, api.Relay, 8080, newFake())
	s := sit(t, 80, 24, "top", "--stateDir", dir)
	s.sees(`^ +20001 `)
	first()
	s.sees(`^no answer, trying again: there is no socket .*`)
	s.sees(`^ +20001 `)
	serveSocket(t, dir, api.Relay, 8080, newFake())
	s.sees(`^tunnels$`)
	s.quits("q")
}

// Without a terminal it says what to do instead.
func TestTopWithoutATerminal(t *testing.T) {
	runRelay(t, "top").want(t, "top", 2, "", "relay: top needs a terminal\nwithout one:   relay status, relay users, relay log --follow")
}

// NO_COLOR is honored, on a terminal too.
func TestNoColor(t *testing.T) {
	dir := socketDir(t)
	serveSocket(t, dir, api.Relay, 8080, newFake())
	for _, tt := range []struct {
		env    string
		colors bool
	}{{"X=", true}, {"NO_COLOR=1", false}} {
		terminal, err := termtest.Start(exec.Command("sh", "-c", "unset NO_COLOR; "+tt.env+" TERM=xterm-256color relay status --stateDir "+dir+"; :"), 120, 40)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(terminal.Close)
		s := seat{t, terminal}
		s.sees("Problems:")
		if colored := strings.Contains(terminal.Styled(), "\x1b[31m"); colored != tt.colors {
			t.Errorf("%s: colors are %t, want %t:\n%q", tt.env, colored, tt.colors, terminal.Styled())
		}
	}
}

// A person at a terminal is asked before a tunnel is ended.
func TestKickAsks(t *testing.T) {
	dir, f := socketDir(t), newFake()
	serveSocket(t, dir, api.Relay, 8080, f)
	for _, tt := range []struct {
		answer string
		status int
		says   string
		asked  string
	}{
		{"\r", 1, "^relay: nothing was done$", ""},
		{"n\r", 1, "^relay: nothing was done$", ""},
		{"\x03", 1, "^relay: nothing was done$", ""},
		{"y\r", 0, `^the tunnel at port 20001 \(web of alice\) has ended, with 2 users$`, "POST /tunnels/t1/close"},
	} {
		s := sit(t, 80, 24, "kick", "20001", "--stateDir", dir)
		s.sees(`^End the tunnel at port 20001 \(web of alice\), with 2 users\? \[y/N\]`)
		s.types(tt.answer, tt.says)
		if status, err := s.Wait(patience); err != nil || status != tt.status {
			t.Errorf("%q: status %d, %v, want %d", tt.answer, status, err, tt.status)
		}
		if got := f.take(); got != tt.asked {
			t.Errorf("%q: it asked %q, want %q", tt.answer, got, tt.asked)
		}
	}
}
