//go:build wine

// Package wine_test runs the Windows build of the command, under Wine, together with
// Relay on the system that this runs on. It needs Wine and mingw's C compiler.
//
// A relay under Wine 8.0 is not asked to tell a forwarder that was killed from one
// that has ended: when data is there to be read as a reset comes, Wine's recv gives the
// data and then 0, which is an end, to twenty lines of C as well.
package wine_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed96252745/relay/internal/conntest"
)

// patience is how long anything may take before a test calls it a hang.
const patience = 2 * time.Minute

// installed is what Wine is made of.
type installed struct{ loader, server, libraries string }

var (
	wine   installed
	prefix string // Wine's folder, which is Windows' disk
	exe    string // the command
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "relay-wine-")
	if err == nil {
		err = setUp(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		_ = os.RemoveAll(dir)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		_ = wine.command("-k").Run() // fails if it has ended by itself, since nobody is left
		_ = os.RemoveAll(dir)
		os.Exit(status)
	}))
}

func setUp(dir string) (err error) {
	if wine, err = find(); err != nil {
		return err
	}
	prefix, exe = filepath.Join(dir, "prefix"), filepath.Join(dir, "relay.exe")
	if err := makePrefix(); err != nil {
		return err
	}
	return windows(exec.Command("go", "build", "-o", exe, "../../cmd/relay"))
}

// find finds Wine, where Debian has it: without its package for 32 bits, nothing of it
// is on the PATH.
func find() (installed, error) {
	libraries, _ := filepath.Glob("/usr/lib/*/wine/x86_64-windows") // cannot fail
	w := installed{loader: "/usr/lib/wine/wine64", server: "/usr/lib/wine/wineserver64"}
	_, loaderErr := os.Stat(w.loader)
	if _, err := os.Stat(w.server); err != nil || loaderErr != nil || len(libraries) == 0 {
		return w, fmt.Errorf("there is no Wine: apt-get install wine64 gcc-mingw-w64-x86-64")
	}
	w.libraries = libraries[0]
	return w, nil
}

// command is wineserver, for the folder of these tests.
func (w installed) command(args ...string) *exec.Cmd {
	cmd := exec.Command(w.server, args...)
	cmd.Env = environment()
	return cmd
}

// environment is that of programs under Wine. Where its server has a socket, it leaves
// folders behind.
func environment() []string {
	return append(os.Environ(), "WINEPREFIX="+prefix, "WINEDEBUG=-all", "TMPDIR="+filepath.Dir(prefix))
}

// prng is what a Go program wants of Windows that Wine 8.0 does not have.
const prng = `
#include <windows.h>
#include <ntsecapi.h>
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T n) { return RtlGenRandom(data, n); }
`

// makePrefix makes Windows' disk of links to the libraries: that takes no time, where
// Wine itself copies 700 MB, which the file below keeps it from.
func makePrefix() error {
	system := filepath.Join(prefix, "drive_c", "windows", "system32")
	if err := os.MkdirAll(system, 0o700); err != nil {
		return err
	}
	libraries, err := os.ReadDir(wine.libraries)
	if err != nil {
		return err
	}
	for _, l := range libraries {
		if err := os.Symlink(filepath.Join(wine.libraries, l.Name()), filepath.Join(system, l.Name())); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(prefix, ".update-timestamp"), []byte("disable\n"), 0o600); err != nil {
		return err
	}
	cc := exec.Command("x86_64-w64-mingw32-gcc", "-shared", "-o", filepath.Join(system, "bcryptprimitives.dll"), "-x", "c", "-", "-ladvapi32")
	cc.Stdin = strings.NewReader(prng)
	if out, err := cc.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cc.Args, err, out)
	}
	return nil
}

// windows runs a command of Go's for Windows.
func windows(cmd *exec.Cmd) error {
	cmd.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
	}
	return nil
}

// program is the command under Wine, until kill or the end of the test.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	kill   context.CancelFunc
	out    *bufio.Scanner // what it prints
	log    *bufio.Scanner
	logged chan struct{} // closed when the log is read to its end
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, kill := context.WithCancel(context.Background())
	p := &program{t: t, cmd: exec.CommandContext(ctx, wine.loader, append([]string{exe}, args...)...), logged: make(chan struct{})}
	p.cmd.Env = append(environment(), "XDG_STATE_HOME=", "AppData="+`Z:`+strings.ReplaceAll(t.TempDir(), "/", `\`))
	out, err := p.cmd.StdoutPipe()
	must(t, err)
	log, err := p.cmd.StderrPipe()
	must(t, err)
	must(t, p.cmd.Start())
	p.out, p.log = bufio.NewScanner(out), bufio.NewScanner(log)
	late := time.AfterFunc(patience, kill)
	p.kill = func() {
		late.Stop()
		kill()
		<-p.logged
		_ = p.cmd.Wait() // killed
	}
	return p
}

// startRelay runs a relay, and gives its address.
func startRelay(t *testing.T, args ...string) (p *program, addr string) {
	t.Helper()
	addr = "127.0.0.1:" + conntest.FreePort(t)
	_, port, _ := net.SplitHostPort(addr)
	p = start(t, append([]string{"--bind=127.0.0.1", port}, args...)...)
	for p.log.Scan() {
		t.Log("relay.exe:", p.log.Text())
		if strings.Contains(p.log.Text(), "relay is ready") {
			p.readLog("relay.exe: ")
			return p, addr
		}
	}
	close(p.logged)
	p.kill()
	t.Fatal("the relay did not start")
	return nil, ""
}

// startForwarder runs a forwarder. Its public address comes with nextPublic.
func startForwarder(t *testing.T, relayAddr, local, protocol string) *program {
	t.Helper()
	host, port, _ := net.SplitHostPort(relayAddr)
	localHost, localPort, _ := net.SplitHostPort(local)
	p := start(t, "--localForwardHost="+localHost, "--localForwardPort="+localPort, "--protocol="+protocol, host, port)
	p.readLog("forwarder.exe: ")
	return p
}

// readLog puts what the program says from now on into the log of the test, and kills
// the program at the end of that.
func (p *program) readLog(who string) {
	go func() {
		defer close(p.logged)
		for p.log.Scan() {
			_, _ = io.WriteString(p.t.Output(), who+p.log.Text()+"\n")
		}
	}()
	p.t.Cleanup(p.kill)
}

// nextPublic waits for a forwarder's next registration.
func (p *program) nextPublic() string {
	p.t.Helper()
	if !p.out.Scan() {
		p.t.Fatal("the forwarder ended")
	}
	public, _, ok := strings.Cut(p.out.Text(), " -> ")
	if !ok {
		p.t.Fatalf("the forwarder printed %q", p.out.Text())
	}
	return public
}
