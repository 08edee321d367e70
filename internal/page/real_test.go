//go:build linux

package page_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/sockerr"
)

// built is the command, which all tests with a real relay share.
var built struct {
	sync.Once
	dir string
	err error
}

func relayCommand(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "relay-page-"); built.err != nil {
			return
		}
		atEnd = append(atEnd, func() { _ = os.RemoveAll(built.dir) })
		out, err := exec.Command("go", "build", "-o", built.dir, "../../cmd/relay").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "relay")
}

// process is a relay or a forwarder that runs until the test ends, or stop is called.
type process struct {
	cmd    *exec.Cmd
	lines  chan map[string]any // of its log
	exited chan struct{}
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, relayCommand(t), args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	output, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, lines: make(chan map[string]any, 1000), exited: make(chan struct{})}
	go func() {
		defer close(p.exited)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			t.Logf("%d: %s", cmd.Process.Pid, lines.Text())
			var line map[string]any
			if json.Unmarshal(lines.Bytes(), &line) != nil {
				continue // what went wrong before there was a log
			}
			select {
			case p.lines <- line:
			default: // nobody awaits a line any more
			}
		}
		_ = cmd.Wait() // it is killed
	}()
	t.Cleanup(func() {
		cancel()
		<-p.exited
	})
	return p
}

// await returns the line of the log with that message.
func (p *process) await(t *testing.T, field, value string) map[string]any {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case line := <-p.lines:
			if line[field] == value {
				return line
			}
		case <-p.exited:
			t.Fatalf("%v ended without %s=%q", p.cmd, field, value)
		case <-late:
			t.Fatalf("%v does not log %s=%q", p.cmd, field, value)
		}
	}
}

// kill ends a process without a word.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.exited
}

// world is a real relay, with forwarders and servers.
type world struct {
	*testing.T
	args    []string // of the relay
	relay   *process
	control string // its port
	origin  string // of its page
}

func newWorld(t *testing.T, args ...string) *world {
	t.Helper()
	const ports = 16
	first := conntest.FreePorts(t, ports+2)
	public := fmt.Sprintf("%d-%d", first+2, first+1+ports)
	if *screenshots != "" {
		public = "20001-20016" // as people see them
	}
	w := &world{T: t, control: strconv.Itoa(first), origin: "http://127.0.0.1:" + strconv.Itoa(first+1)}
	w.args = append([]string{
		"--bind=127.0.0.1", "--ports=" + public, "--adminListen=127.0.0.1:" + strconv.Itoa(first+1),
		"--probe=5s", "--stateDir=" + t.TempDir(), "--logFormat=json",
	}, args...)
	w.args = append(w.args, w.control)
	w.run()
	return w
}

// run starts the relay.
func (w *world) run() {
	w.Helper()
	w.relay = start(w.T, w.args...)
	w.relay.await(w.T, "msg", "relay is ready")
}

// server is a local server. It echoes, and sends a lot to who asks for it.
type server struct {
	port string

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
	serving  sync.WaitGroup
}

func newServer(t *testing.T, answer func(net.Conn)) *server {
	t.Helper()
	s := &server{conns: make(map[net.Conn]bool)}
	s.open(t, "127.0.0.1:0", answer)
	_, s.port, _ = net.SplitHostPort(s.listener.Addr().String())
	t.Cleanup(s.stop)
	return s
}

func (s *server) open(t *testing.T, address string, answer func(net.Conn)) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s.listener = l
	s.serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = true
			s.mu.Unlock()
			s.serving.Go(func() {
				answer(c)
				_ = c.Close()
				s.mu.Lock()
				delete(s.conns, c)
				s.mu.Unlock()
			})
		}
	})
}

// stop ends the server, and all its connections.
func (s *server) stop() {
	_ = s.listener.Close()
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
}

func echo(c net.Conn) { _, _ = io.Copy(c, c) }

// forward puts a server online, and returns its public port.
func (w *world) forward(name string, s *server, args ...string) (p *process, port int) {
	w.Helper()
	p = start(w.T, append([]string{
		"--localForwardPort=" + s.port, "--localForwardHost=127.0.0.1", "--name=" + name, "--stateDir=" + w.TempDir(), "--logFormat=json", "127.0.0.1", w.control,
	}, args...)...)
	line := w.relay.await(w.T, "name", name)
	return p, int(line["port"].(float64))
}

// user connects to a public port, and sends and receives something.
func (w *world) user(port int) net.Conn {
	w.Helper()
	c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = c.Close() })
	w.exchange(c, "hello")
	return c
}

// exchange has the server echo something.
func (w *world) exchange(c net.Conn, text string) {
	w.Helper()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		w.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		w.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		w.Fatalf("the server has echoed %q: %v", got, err)
	}
}

// reset returns when a connection was reset.
func (w *world) reset(c net.Conn) {
	w.Helper()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		w.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !sockerr.Is(err, syscall.ECONNRESET) {
		w.Errorf("the user sees %v, and no reset", err)
	}
}

// TestRealRelay looks at a real relay with real users, and acts on them.
func TestRealRelay(t *testing.T) {
	w := newWorld(t)
	p := openTab(t, w.origin)
	p.waitText("Nothing is online yet")
	p.waitText("relay --localForwardPort=<its port> 127.0.0.1 " + w.control)
	eval[bool](p, mark)

	s := newServer(t, echo)
	_, port := w.forward("web", s)
	row := "document.querySelector('tr[aria-rowindex=\"2\"]')"
	p.wait(row + "?.innerText.includes('" + strconv.Itoa(port) + "')")
	p.wait(row + ".querySelector('.c-state').textContent.startsWith('Up')")

	stays, goes := w.user(port), w.user(port)
	p.wait(row + ".querySelector('.c-users').textContent === '2'")
	p.click("a.rowlink")
	address := goes.LocalAddr().String()
	p.click(`button[aria-label="End user ` + address + `"]`)
	p.confirm(address, "End user")
	w.reset(goes)
	w.exchange(stays, "still there")
	p.button(".parts", "Last ends")
	p.waitText(address)
	p.waitText("Ended by the operator")

	p.button(".acts", "Pause")
	p.confirm(strconv.Itoa(port)+" web", "Pause")
	p.wait("document.querySelector('.head .badge').textContent.startsWith('Paused')")
	if c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil { // or it is reset already
		w.reset(c)
		_ = c.Close()
	}
	w.exchange(stays, "joined users go on")
	p.button(".acts", "Resume")
	p.confirm("served again", "Resume")
	p.wait("document.querySelector('.head .badge').textContent.startsWith('Up')")
	w.user(port)
	p.clean()

	w.goneAndBack(p, s)
}

// goneAndBack kills the local server and the relay, and brings both back.
func (w *world) goneAndBack(p *tab, s *server) {
	w.Helper()
	badge := "document.querySelector('.head .badge').textContent"
	s.stop()
	p.wait("/^Local server down since [\\d:]+ \\(connection refused\\)$/.test(" + badge + ")")
	s.open(w.T, "127.0.0.1:"+s.port, echo)
	p.wait(badge + ".startsWith('Up')")

	p.visit("#/ends")
	p.waitText("Ended by the operator")
	p.visit("#/")
	p.waitText("web")
	w.relay.kill(w.T)
	p.wait("document.querySelector('#gone').checkVisibility()")
	w.run()
	p.wait("!document.querySelector('#gone').checkVisibility()")
	p.wait("document.querySelector('td.c-state')?.textContent.startsWith('Up')")
	p.wait(sameDocument)
	p.forgive() // the browser reports each request that has failed
}
