//go:build linux

package servers_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
)

// publicPorts is how many public ports a page's relay has.
const publicPorts = 30

// world is where the commands of one page run: a folder, which stands for all machines
// of the page at once, the programs that still run, and what the page's words stand
// for.
type world struct {
	t       *testing.T
	page    string
	dir     string
	env     []string
	first   int // of the public ports
	names   map[string]string
	files   map[string]string // shown by the page
	running []*shell

	mu      sync.Mutex    // guards the output of programs, and changed
	changed chan struct{} // closed when one of them prints, or ends
}

// newWorld makes the world of a page, or skips the test if a program is not installed.
func newWorld(t *testing.T, page string, blocks []block) *world {
	for _, b := range blocks {
		for _, c := range b.commands() {
			name, _, _ := strings.Cut(c, " ")
			if of, ok := packages[name]; ok && b.kind == "sh" && b.leave == "" {
				program(t, name, of)
			}
		}
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	repository, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, page: page, dir: t.TempDir(), first: conntest.FreePorts(t, publicPorts), changed: make(chan struct{}), files: make(map[string]string)}
	w.names = map[string]string{
		"relay.example.com": "localhost",
		"you@":              me.Username + "@",
		"/etc/":             w.dir + "/etc/",
		"/var/lib/":         w.dir + "/var/lib/",
		"20000-29999":       fmt.Sprintf("%d-%d", w.first, w.first+publicPorts-1),
	}
	tools := goEnv(t, "GOCACHE", "GOMODCACHE", "GOVERSION")
	w.env = []string{
		"PATH=" + filepath.Join(w.dir, "bin") + ":" + filepath.Dir(relayCommand) + ":" + os.Getenv("PATH") + ":/usr/sbin",
		"HOME=" + w.dir, "XDG_STATE_HOME=" + filepath.Join(w.dir, ".local", "state"), "LC_ALL=C", "PYTHONUNBUFFERED=1",
		// Programs of the pages are built as a part of this repository.
		"GOWORK=" + filepath.Join(w.dir, "go.work"), "GOFLAGS=-mod=readonly", "GOPROXY=off",
		"GOCACHE=" + tools[0], "GOMODCACHE=" + tools[1],
	}
	w.script("sudo", "env")
	w.write(block{file: "go.work", text: fmt.Sprintf("go %s\nuse .\nuse %s\n", strings.TrimPrefix(tools[2], "go"), repository)})
	w.write(block{file: "go.mod", text: "module example.com/site\n"})
	if err := os.Symlink(filepath.Join(repository, "interop"), filepath.Join(w.dir, "interop")); err != nil {
		t.Fatal(err)
	}
	if has := readerHas[filepath.Base(page)]; has != nil {
		has(w)
	}
	return w
}

// goEnv returns settings of the go command.
func goEnv(t *testing.T, names ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"env"}, names...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(out), "\n")
}

// write writes a file that a page shows. An absolute path is one in the folder.
func (w *world) write(b block) {
	w.t.Helper()
	w.files[b.file] = b.text
	path := filepath.Join(w.dir, b.file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(w.real(b, b.text)), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// port returns one of this machine's ports for one of the page's. Public ones keep
// their order.
func (w *world) port(word string) string {
	if _, ok := w.names[word]; !ok {
		n, _ := strconv.Atoi(word)
		if n < 20000 {
			w.names[word] = conntest.FreePort(w.t)
			return w.names[word]
		}
		real := w.first + (n-20000)%publicPorts
		for !free(real) { // the relay has given it to somebody
			real++
		}
		w.names[word] = strconv.Itoa(real)
	}
	return w.names[word]
}

func free(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(port)))
	if err == nil {
		l.Close()
	}
	return err == nil
}

// shell runs commands of a page, and records their output.
type shell struct {
	world  *world
	cmd    *exec.Cmd
	exited chan struct{}
	text   []byte

	terminal string
}

// start starts a shell. It is killed when the test ends, with everything that it has
// started.
func (w *world) start(commands string) *shell {
	w.t.Helper()
	p := &shell{world: w, cmd: command(w.t, "/bin/sh", "-ec", commands), exited: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env, p.cmd.SysProcAttr.Setpgid = w.dir, w.env, true
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.Cancel = func() error { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		close(p.exited)
		w.notify()
	}()
	w.t.Cleanup(func() {
		<-p.exited // as it is killed when the test ends
		w.t.Logf("%s\n%s", commands, p.text)
	})
	return p
}

// stop presses Ctrl-C in a terminal, which ends the program there without an error.
func (w *world) stop(terminal string) {
	w.t.Helper()
	for i, p := range w.running {
		if p.terminal == terminal {
			p.cmd.Process.Signal(os.Interrupt)
			<-p.exited
			if !p.cmd.ProcessState.Success() {
				w.t.Fatalf("%s: %v after Ctrl-C: %v\n%s", w.page, p.cmd, p.cmd.ProcessState, p.text)
			}
			w.running = slices.Delete(w.running, i, i+1)
			return
		}
	}
}

// Write records output of the shell.
func (p *shell) Write(text []byte) (int, error) {
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	p.text = append(p.text, text...)
	p.world.notify()
	return len(text), nil
}

// notify has expect check again. The caller has the lock.
func (w *world) notify() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// printed returns the output of shells, whether one of them still runs, and a channel
// that is closed when there is more.
func (w *world) printed(shells []*shell) (texts []string, running bool, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range shells {
		select {
		case <-p.exited:
		default:
			running = true
		}
		texts = append(texts, string(p.text))
	}
	return texts, running, w.changed
}

// expect waits until the output of one of shells matches the pattern, and learns what
// its words stand for.
func (w *world) expect(b block, want pattern, shells ...*shell) {
	w.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		texts, running, changed := w.printed(shells)
		for _, text := range texts {
			if want.learn(text, w.names) {
				return
			}
		}
		ended := make(chan struct{})
		if !running {
			close(ended)
		}
		select {
		case <-changed:
		case <-ended:
			w.t.Fatalf("%s:%d: the page shows\n%sbut printed was\n%s", w.page, b.line, b.text, strings.Join(texts, "---\n"))
		case <-timeout.C:
			w.t.Fatalf("%s:%d: the page shows\n%sbut until now printed was\n%s", w.page, b.line, b.text, strings.Join(texts, "---\n"))
		}
	}
}
