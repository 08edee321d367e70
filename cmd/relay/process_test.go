package main_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience bounds every wait. It is never reached unless the command is wrong. The demo takes 5 s with the race detector on a machine with two
// processors, and several times that when others use them too.
const patience = 2 * time.Minute

// script is the state of one script: its processes, servers and connections,
// by the names that it gave them.
type script struct {
	t         *testing.T
	env       *testscript.Env
	processes map[string]*process
	listeners map[string]net.Listener
	conns     map[string]*net.TCPConn
	stalls    map[string]func() // by the processes; see stalled
	terminals terminals
	serving   sync.WaitGroup
}

func newScript(t *testing.T, env *testscript.Env) *script {
	return &script{
		t:         t,
		env:       env,
		processes: make(map[string]*process),
		listeners: make(map[string]net.Listener),
		conns:     make(map[string]*net.TCPConn),
		stalls:    make(map[string]func()),
		terminals: make(terminals),
	}
}

// end ends what a script has left running.
func (s *script) end() {
	for _, p := range s.processes {
		_ = p.cmd.Process.Kill() // fails if it has ended
		<-p.ended
	}
	s.terminals.close()
	for _, resume := range s.stalls {
		resume() // which ends, since the process has
	}
	for _, l := range s.listeners {
		_ = l.Close()
	}
	for _, conn := range s.conns {
		_ = conn.Close()
	}
	s.serving.Wait()
}

// status <status> <program> [args]: runs a program that has to exit with
// exactly this status. Its output is then in stdout and stderr.
func (s *script) status(ts *testscript.TestScript, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	status := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		status = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(status) != args[0] {
		ts.Fatalf("exit status %d, want %s; stderr:\n%s", status, args[0], ts.ReadFile("stderr"))
	}
}

// wrong <message> <hint> [args]: runs relay with a command line that has to be
// refused with this message, and with a hint at what to type instead.
func (s *script) wrong(ts *testscript.TestScript, args []string) {
	s.status(ts, append([]string{"2", "relay"}, args[2:]...))
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("stdout is for results; it has:\n%s", out)
	}
	message, hint, _ := strings.Cut(ts.ReadFile("stderr"), "\n")
	if message != "relay: "+args[0] {
		ts.Fatalf("the message is %q, want %q", message, "relay: "+args[0])
	}
	if !strings.Contains(hint, args[1]) {
		ts.Fatalf("the hint does not contain %q:\n%s", args[1], hint)
	}
}

// process is a program in the background.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr output
	ended          chan struct{}
}

// background <name> <program> [args]: starts a program. Unlike with exec and &,
// its output can be seen while it runs.
func (s *script) background(ts *testscript.TestScript, args []string) {
	p := &process{cmd: exec.Command(args[1], args[2:]...), ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = s.env.WorkDir, s.env.Vars
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		ts.Fatalf("%v", err)
	}
	s.processes[args[0]] = p
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // the status is in ProcessState
	}()
}

func (s *script) process(ts *testscript.TestScript, name string) *process {
	p, ok := s.processes[name]
	if !ok {
		ts.Fatalf("there is no process %s", name)
	}
	return p
}

// waitfor <name> stdout|stderr <pattern>: waits until a program in the
// background has written what matches.
func (s *script) waitFor(ts *testscript.TestScript, args []string) {
	p := s.process(ts, args[0])
	out := map[string]*output{"stdout": &p.stdout, "stderr": &p.stderr}[args[1]]
	pattern, err := regexp.Compile("(?m)" + args[2])
	if out == nil || err != nil {
		ts.Fatalf("usage: waitfor name stdout|stderr pattern: %v", err)
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		text, more := out.text()
		if pattern.MatchString(text) {
			return
		}
		select {
		case <-more:
		case <-p.ended:
			if text, _ := out.text(); !pattern.MatchString(text) {
				ts.Fatalf("%s ended (%v) without %q; its stderr:\n%s", args[0], p.cmd.ProcessState, args[2], p.stderr.String())
			}
			return
		case <-timeout.C:
			ts.Fatalf("%s has not written %q in %v; its stderr:\n%s", args[0], args[2], patience, p.stderr.String())
		}
	}
}

// signal HUP|INT|TERM|KILL <name>.
func (s *script) signal(ts *testscript.TestScript, args []string) {
	signals := map[string]os.Signal{"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}
	if err := s.process(ts, args[1]).cmd.Process.Signal(signals[args[0]]); err != nil {
		ts.Fatalf("%v", err)
	}
}

// ended <name> <status>: waits until a program in the background has ended,
// which has to be with this status. What it wrote is then in the files
// <name>.stdout and <name>.stderr.
func (s *script) ended(ts *testscript.TestScript, args []string) {
	p := s.process(ts, args[0])
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-p.ended:
	case <-timeout.C:
		ts.Fatalf("%s still runs; its stderr:\n%s", args[0], p.stderr.String())
	}
	if status := p.cmd.ProcessState.ExitCode(); strconv.Itoa(status) != args[1] {
		ts.Fatalf("%s: %v, want status %s; its stderr:\n%s", args[0], p.cmd.ProcessState, args[1], p.stderr.String())
	}
	for name, out := range map[string]*output{"stdout": &p.stdout, "stderr": &p.stderr} {
		if err := os.WriteFile(filepath.Join(s.env.WorkDir, args[0]+"."+name), []byte(out.String()), 0o600); err != nil {
			ts.Fatalf("%v", err)
		}
	}
}

// output is what a program has written so far.
type output struct {
	mu    sync.Mutex // guards what follows
	buf   bytes.Buffer
	grown chan struct{}
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.grown != nil {
		close(o.grown)
		o.grown = nil
	}
	return o.buf.Write(b)
}

// text returns what was written so far, and a channel that is closed when there is more.
func (o *output) text() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.grown == nil {
		o.grown = make(chan struct{})
	}
	return o.buf.String(), o.grown
}

func (o *output) String() string {
	text, _ := o.text()
	return text
}
