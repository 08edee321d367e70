//go:build unix

package main_test

import (
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seed96252745/relay/cmd/relay/termtest"
)

// terminals are the terminals of a script, by name.
type terminals map[string]*termtest.Terminal

// terminalCommands are the commands of scripts for programs on terminals.
func terminalCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"terminal": command(3, (*script).terminal),
		"press":    command(2, (*script).press),
		"shows":    command(2, (*script).shows),
		"resize":   command(2, (*script).resize),
		"left":     command(2, (*script).left),
	}
}

// terminal <name> <columns>x<lines> <program> [args]: starts a program on a terminal.
func (s *script) terminal(ts *testscript.TestScript, args []string) {
	columns, lines := size(ts, args[1])
	cmd := exec.Command(args[2], args[3:]...)
	cmd.Dir = s.env.WorkDir
	cmd.Env = append(s.env.Vars, "TERM=xterm-256color")
	t, err := termtest.Start(cmd, columns, lines)
	if err != nil {
		ts.Fatalf("%v", err)
	}
	s.terminals[args[0]] = t
}

func size(ts *testscript.TestScript, text string) (columns, lines int) {
	c, l, _ := strings.Cut(text, "x")
	columns, err := strconv.Atoi(c)
	if err == nil {
		lines, err = strconv.Atoi(l)
	}
	if err != nil {
		ts.Fatalf("%q is no size, such as 80x24", text)
	}
	return columns, lines
}

func (s *script) term(ts *testscript.TestScript, name string) *termtest.Terminal {
	t, ok := s.terminals[name]
	if !ok {
		ts.Fatalf("there is no terminal %s", name)
	}
	return t
}

// keys are those that have no letter.
var keys = map[string]string{"enter": "\r", "esc": "\x1b", "up": "\x1b[A", "down": "\x1b[B", "end": "\x1b[F", "ctrl+c": "\x03"}

// press <name> <key>...: types letters, or keys by their names.
func (s *script) press(ts *testscript.TestScript, args []string) {
	for _, key := range args[1:] {
		if named, ok := keys[key]; ok {
			key = named
		}
		if err := s.term(ts, args[0]).Type(key); err != nil {
			ts.Fatalf("%v", err)
		}
	}
}

// shows <name> <pattern>: waits until what is on the screen matches.
func (s *script) shows(ts *testscript.TestScript, args []string) {
	pattern, err := regexp.Compile("(?m)" + args[1])
	if err != nil {
		ts.Fatalf("%v", err)
	}
	if t := s.term(ts, args[0]); !t.WaitFor(pattern, patience) {
		ts.Fatalf("the screen does not show %q; it shows\n%s", args[1], t.Text())
	}
}

// resize <name> <columns>x<lines>.
func (s *script) resize(ts *testscript.TestScript, args []string) {
	columns, lines := size(ts, args[1])
	if err := s.term(ts, args[0]).Resize(columns, lines); err != nil {
		ts.Fatalf("%v", err)
	}
}

// left <name> <status>: waits until the program on a terminal has ended with this status.
func (s *script) left(ts *testscript.TestScript, args []string) {
	t := s.term(ts, args[0])
	status, err := t.Wait(patience)
	if err != nil || strconv.Itoa(status) != args[1] {
		ts.Fatalf("status %d, %v, want %s; the screen shows\n%s", status, err, args[1], t.Text())
	}
}

func (t terminals) close() {
	for _, terminal := range t {
		terminal.Close()
	}
}
