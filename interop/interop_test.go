// Package interop_test runs the relay clients of this directory, which share no code
// with Relay, against the relay, each as a process of its own.
package interop_test

import (
	"bufio"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
)

// patience bounds every wait for something that happens at once if it happens.
const patience = 30 * time.Second

func TestClients(t *testing.T) {
	relay := filepath.Join(t.TempDir(), "relay")
	build(t, ".", "go", "build", "-o", relay, "github.com/seed96252745/relay/cmd/relay")
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, tool := range strings.Fields(c.tools) {
				if _, err := exec.LookPath(tool); err != nil {
					t.Skipf("%s is not installed: apt-get install %s", tool, c.packages)
				}
			}
			if c.probe != nil && exec.Command(c.probe[0], c.probe[1:]...).Run() != nil {
				t.Skipf("something is not installed: apt-get install %s", c.packages)
			}
			tmp := t.TempDir()
			c.run = within(tmp, c.run)
			if c.build != nil {
				build(t, c.dir, within(tmp, c.build)...)
			}
			for _, b := range cases {
				if why := c.lacks[b.name]; why != "" {
					t.Logf("%s is left out: %s", b.name, why)
					continue
				}
				t.Run(b.name, func(t *testing.T) { b.run(t, newRig(t, c, relay)) })
			}
		})
	}
}

// within puts the name of a temporary folder into a command.
func within(tmp string, command []string) []string {
	filled := make([]string, len(command))
	for i, arg := range command {
		filled[i] = strings.ReplaceAll(arg, "{tmp}", tmp)
	}
	return filled
}

func build(t *testing.T, dir string, command ...string) {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
}

// A rig is a client, and its own relay to run it against.
type rig struct {
	client client
	relay  *process
}

func newRig(t *testing.T, c client, relay string) *rig {
	port := conntest.FreePort(t)
	p := start(t, relay, "--bind=127.0.0.1", "--ports=21000-21999", port)
	for p.address = net.JoinHostPort("127.0.0.1", port); ; {
		if conn, err := net.Dial("tcp", p.address); err == nil {
			conn.Close()
			return &rig{c, p}
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-p.exited:
			t.Fatal("the relay ended at once")
		}
	}
}

// tunnel runs the client in front of a local server.
func (r *rig) tunnel(t *testing.T, server net.Addr) *process {
	t.Helper()
	host, port, _ := net.SplitHostPort(r.relay.address)
	localHost, localPort, _ := net.SplitHostPort(server.String())
	p := start(t, append(r.client.run, host, port, localHost, localPort)...)
	defer time.AfterFunc(patience, p.kill).Stop()
	line, err := bufio.NewReader(p.stdout).ReadString('\n')
	public, isLine := strings.CutSuffix(line, "\n")
	if _, notANumber := strconv.ParseUint(public, 10, 16); !isLine || notANumber != nil {
		t.Fatalf("the client printed %q instead of its port: %v", line, err)
	}
	p.address = net.JoinHostPort(host, public)
	return p
}

// user connects a user to a client's public port.
func (p *process) user(t *testing.T) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.TCPConn)
}

func listen(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// closed returns an address on which nothing listens, nor can until the test ends:
// it is one end of a connection.
func closed(t *testing.T) net.Addr {
	_, far := conntest.Pair(t)
	return far.LocalAddr()
}

// serve starts a local server.
func serve(t *testing.T, handle func(*net.TCPConn)) net.Addr {
	l := listen(t)
	go func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			go func() {
				defer conn.Close()
				handle(conn.(*net.TCPConn))
			}()
		}
	}()
	return l.Addr()
}

type process struct {
	cmd     *exec.Cmd
	stdout  io.Reader
	exited  chan struct{}
	address string
}

// start runs a program until the test ends.
func start(t *testing.T, command ...string) *process {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = t.Output()
	cmd.WaitDelay = 100 * time.Millisecond // a script's children keep stderr open
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, stdout: stdout, exited: make(chan struct{})}
	go func() {
		cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.exited
}
