package ssh_test

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/seed96252745/relay/internal/conntest"
)

// output keeps what a process writes.
type output struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// process is a command that is killed, with all its children, at the end of the test.
type process struct {
	cmd    *exec.Cmd
	errs   *output
	ended  chan struct{}
	ending sync.Once
}

func run(t *testing.T, stdout *os.File, env []string, command ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(command[0], command[1:]...), errs: new(output), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = stdout, p.errs
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(p.stop)
	return p
}

// signal sends a signal to the process and its children.
func (p *process) signal(s syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, s) }

// stop kills them, and waits.
func (p *process) stop() {
	p.ending.Do(func() {
		p.signal(syscall.SIGKILL)
		<-p.ended
	})
}

// relay is a relay with a port for SSH clients.
type relay struct {
	*process
	command      []string
	ssh, control string // ports
	dir          string
}

func newRelay(t *testing.T, path string) *relay {
	t.Helper()
	r := &relay{ssh: conntest.FreePort(t), control: conntest.FreePort(t), dir: t.TempDir()}
	r.command = []string{
		path, r.control, "--bind=127.0.0.1", "--ports=22000-22999", "--stateDir=" + r.dir, "--sshListen=:" + r.ssh,
		"--maxUsersPerSecond=0",
	}
	r.start(t)
	return r
}

// start starts it, or starts it again, and waits until it is ready.
func (r *relay) start(t *testing.T) {
	t.Helper()
	r.process = run(t, nil, nil, r.command...)
	err := eventually(func() bool {
		select {
		case <-r.ended:
			t.Fatalf("the relay has ended: %s", r.errs)
		default:
		}
		return strings.Contains(r.errs.String(), "with nothing installed") // and its keys are made
	}, "the relay is ready")
	if err != nil {
		t.Fatal(err)
	}
}

func (r *relay) kill() { r.stop() }

// fingerprint returns that of the relay's key.
func (r *relay) fingerprint(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, "ssh_host_ed25519_key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return ssh.FingerprintSHA256(key.PublicKey())
}

// rig is a client that has registered.
type rig struct {
	*process
	client client
	local  *localServer // or nil
	public string       // address
	line   string       // that shows it
	lines  chan string
}

// start starts a client at the SSH port of a relay, unless p says otherwise, and waits until it
// has registered.
func start(t *testing.T, c client, at *relay, p place) *rig {
	t.Helper()
	r := &rig{client: c, lines: make(chan string, 16)}
	if p.local == "" {
		r.local = startLocal(t)
		p.local = r.local.port()
	}
	p.host, p.port = "127.0.0.1", cmp.Or(p.port, at.ssh)
	p.bind, p.asked, p.user = cmp.Or(p.bind, "localhost"), cmp.Or(p.asked, c.asked), cmp.Or(p.user, "me")
	p.fingerprint = at.fingerprint(t)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	command, env := c.run(p)
	r.process = run(t, in, env, command...)
	_ = in.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			r.lines <- lines.Text()
		}
		close(r.lines)
	}()
	t.Cleanup(func() { // before the process is stopped, which has closed it then
		r.stop()
		for range r.lines {
		}
		<-read
		_ = out.Close()
	})
	if r.line, err = r.readLine(); err != nil {
		log := at.errs.String()
		t.Fatalf("%v\nthe client says: %s\nthe relay says: %s", err, r.errs, log[max(0, len(log)-1000):])
	}
	r.public, _, _ = strings.Cut(r.line, " ")
	if !c.session {
		number := strings.TrimPrefix(r.line, "port ")
		if p.asked != 0 { // which is what most libraries give back
			number = at.portOf(t, p.bind)
		}
		r.public = net.JoinHostPort("127.0.0.1", number)
	}
	return r
}

// portOf returns the public port of the tunnel with a name, as the log has it.
func (r *relay) portOf(t *testing.T, name string) (port string) {
	t.Helper()
	err := eventually(func() bool {
		for line := range strings.Lines(r.errs.String()) {
			if _, rest, ok := strings.Cut(line, `"event":"tunnel_opened","port":`); ok && strings.Contains(rest, `"name":"`+name+`"`) {
				port, _, _ = strings.Cut(rest, ",")
			}
		}
		return port != ""
	}, "the tunnel is in the log")
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func (r *rig) readLine() (string, error) {
	select {
	case line, ok := <-r.lines:
		if !ok {
			return "", fmt.Errorf("the client has ended")
		}
		return line, nil
	case <-time.After(patience / 2):
		return "", fmt.Errorf("the client shows no address")
	}
}

func (r *rig) stderr() string { return r.errs.String() }

// wait waits until the client has ended by itself, and returns its status.
func (r *rig) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-r.ended:
		return r.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatal("the client does not end")
		return 0
	}
}
