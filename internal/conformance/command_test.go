package conformance_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/seed96252745/relay"
)

// buildDir is where command puts the command; TestMain makes and removes it.
var buildDir string

// command builds the command once, and returns its path: only a process can be
// killed.
var command = sync.OnceValues(func() (string, error) {
	path := filepath.Join(buildDir, "relay")
	out, err := exec.Command("go", "build", "-o", path, "github.com/seed96252745/relay/cmd/relay").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the command: %w\n%s", err, out)
	}
	return path, nil
})

// process is a running command.
type process struct {
	*exec.Cmd
	stdout *bufio.Scanner
	logged *bufio.Scanner
	once   sync.Once
}

// startCommand runs the command until kill or the end of the test.
func startCommand(t *testing.T, args ...string) *process {
	t.Helper()
	path, err := command()
	must(t, err)
	p := &process{Cmd: exec.Command(path, args...)}
	p.Env = append(os.Environ(), "XDG_STATE_HOME="+t.TempDir()) // nothing is known from before
	stdout, err := p.StdoutPipe()
	must(t, err)
	stderr, err := p.StderrPipe()
	must(t, err)
	p.stdout, p.logged = bufio.NewScanner(stdout), bufio.NewScanner(stderr)
	must(t, p.Start())
	t.Cleanup(p.kill)
	return p
}

// kill ends the process with SIGKILL, and waits until it has ended.
func (p *process) kill() {
	p.once.Do(func() {
		_ = p.Process.Kill()
		_ = p.Wait()
	})
}

// startRelay runs a relay on addr and waits until it is ready.
func startRelay(t *testing.T, addr string) *process {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	must(t, err)
	args := []string{port}
	if host != "" {
		args = append(args, "--bind="+host)
	}
	p := startCommand(t, args...)
	for p.logged.Scan() {
		if strings.Contains(p.logged.Text(), "relay is ready") {
			go drainLog(p.logged)
			return p
		}
	}
	t.Fatal("the relay did not start")
	return nil
}

// startForwarder runs a forwarder. Its public address comes with nextPublic.
func startForwarder(t *testing.T, relayAddr, local string, protocol relay.Protocol) *process {
	t.Helper()
	host, port, err := net.SplitHostPort(relayAddr)
	must(t, err)
	localHost, localPort, err := net.SplitHostPort(local)
	must(t, err)
	p := startCommand(t, append(flagsOf(protocol), "--localForwardPort="+localPort, "--localForwardHost="+localHost, host, port)...)
	go drainLog(p.logged)
	return p
}

// drainLog reads a process's log so that it cannot block on it. It ends with
// the process.
func drainLog(logged *bufio.Scanner) {
	for logged.Scan() {
		continue
	}
}

// nextPublic waits for the forwarder's next registration.
func (p *process) nextPublic(t *testing.T) string {
	t.Helper()
	if !p.stdout.Scan() {
		t.Fatal("the forwarder ended")
	}
	public, _, ok := strings.Cut(p.stdout.Text(), " -> ")
	if !ok {
		t.Fatalf("the forwarder printed %q", p.stdout.Text())
	}
	return public
}
