//go:build lab && linux

package lab_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/checker"
	"github.com/seed96252745/relay/internal/conntest"
)

// localPatience bounds every wait on loopback that is over long before, unless
// something is wrong.
const localPatience = 2 * time.Minute

var localProtocols = []string{"multiplex", "pool", "event"}

// eachLocal runs a row for each protocol.
func eachLocal(t *testing.T, row string, test func(t *testing.T, protocol string)) {
	for _, protocol := range localProtocols {
		t.Run(row+"/"+protocol, func(t *testing.T) { test(t, protocol) })
	}
}

// shortOr chooses between the sizes of the short form and of the full one.
func shortOr[T any](short, full T) T {
	if testing.Short() {
		return short
	}
	return full
}

// localProcess is a process that runs until the end of the test.
type localProcess struct {
	t      *testing.T
	cmd    *exec.Cmd
	exited chan struct{}

	mu    sync.Mutex
	lines []string      // of stdout and stderr
	more  chan struct{} // closed with the next line
}

// localStart runs relay or player.
func localStart(t *testing.T, name string, args ...string) *localProcess {
	t.Helper()
	p := &localProcess{t: t, cmd: exec.Command(name, args...), exited: make(chan struct{}), more: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+t.TempDir())
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	for _, r := range []io.Reader{stdout, stderr} {
		reading.Go(func() { p.read(r) })
	}
	go func() {
		reading.Wait()
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.exited
		if t.Failed() {
			lines := p.from(0)
			t.Logf("%s %q said last:\n%s", filepath.Base(name), args, strings.Join(lines[max(0, len(lines)-10):], "\n"))
		}
	})
	return p
}

func (p *localProcess) read(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		p.mu.Lock()
		p.lines = append(p.lines, lines.Text())
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
	}
}

// from gives the lines from a number on.
func (p *localProcess) from(n int) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lines[n:len(p.lines):len(p.lines)]
}

// line waits for a line that find likes, from a number on.
func (p *localProcess) line(from int, what string, find func(line string) bool) {
	p.t.Helper()
	late := time.NewTimer(localPatience)
	defer late.Stop()
	for ended := false; ; {
		p.mu.Lock()
		more := p.more
		fresh := p.lines[from:]
		p.mu.Unlock()
		for _, line := range fresh {
			if find(line) {
				return
			}
		}
		from += len(fresh)
		if ended {
			p.t.Fatalf("%v ended instead of %s", p.cmd.Args, what)
		}
		select {
		case <-more:
		case <-p.exited:
			ended = true // and has said all
		case <-late.C:
			p.t.Fatalf("waited in vain for %v and %s", p.cmd.Args, what)
		}
	}
}

// wait waits for the end, and gives whether it was a success.
func (p *localProcess) wait() bool {
	p.t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.Success()
	case <-time.After(5 * localPatience):
		p.t.Fatalf("%v did not end", p.cmd.Args)
		return false
	}
}

func (p *localProcess) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// localState is what relay and forwarder say of themselves.
type localState struct {
	checker.Figures
	Handshakes, Tunnels, Users, Waiting int
	Counters                            map[string]int64
	Pool                                struct{ Idle int } // connections without a user
}

func (p *localProcess) state() (s localState) {
	p.t.Helper()
	n := len(p.from(0))
	p.signal(syscall.SIGUSR1)
	p.line(n, "its state", func(line string) bool {
		return strings.Contains(line, `"msg":"state"`) && json.Unmarshal([]byte(line), &s) == nil
	})
	return s
}

// rss gives the resident memory, in bytes.
func (p *localProcess) rss() int64 {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// until waits until a condition holds, asking now and then.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(localPatience)
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// connected reports whether the kernel takes a connection for open that was accepted at
// an address of loopback.
func connected(t *testing.T, addr string) bool {
	t.Helper()
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(addr)
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	const local, state, established = 1, 3, "01"
	end := fmt.Sprintf(":%04X", number)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > state && strings.HasSuffix(f[local], end) && f[state] == established {
			return true
		}
	}
	return false
}

// localRelay starts a relay on a port of loopback that is free.
func localRelay(t *testing.T, args ...string) (relay *localProcess, addr string) {
	t.Helper()
	addr = localFree(t)
	return localRelayAt(t, addr, args...), addr
}

func localRelayAt(t *testing.T, addr string, args ...string) *localProcess {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	relay := localStart(t, binary(t, "relay"), append([]string{"--bind=" + host, "--logFormat=json", port}, args...)...)
	relay.line(0, "being ready", func(line string) bool { return strings.Contains(line, "relay is ready") })
	return relay
}

// localFree gives an address that nobody listens on.
func localFree(t *testing.T) string {
	t.Helper()
	return "127.0.0.1:" + conntest.FreePort(t)
}

// localForwarder starts a forwarder, and gives the public address.
func localForwarder(t *testing.T, relayAddr, local, protocol string, args ...string) (p *localProcess, public string) {
	t.Helper()
	host, port, err := net.SplitHostPort(relayAddr)
	if err != nil {
		t.Fatal(err)
	}
	localHost, localPort, err := net.SplitHostPort(local)
	if err != nil {
		t.Fatal(err)
	}
	p = localStart(t, binary(t, "relay"), append([]string{"--localForwardHost=" + localHost, "--localForwardPort=" + localPort,
		"--protocol=" + protocol, "--logFormat=json", host, port}, args...)...)
	p.line(0, "its public address", func(line string) (found bool) {
		public, _, found = strings.Cut(line, " -> ")
		return found
	})
	return p, public
}
