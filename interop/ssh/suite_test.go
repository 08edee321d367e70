// Package ssh_test runs real SSH clients against a relay's front for them, each as a process of
// its own, and looks at what users see. README.md lists the clients.
package ssh_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// cases are what each client has to do for the users of one tunnel.
var cases = []struct {
	name string
	run  func(t *testing.T, r *rig) error
}{
	{"the server speaks first, and is answered", func(t *testing.T, r *rig) error { return r.echo() }},
	{"a user who ends first gets the whole answer", userEndsFirst},
	{"a server that ends first gets what comes late", serverEndsFirst},
	{"64 MiB to the user", download},
	{"64 MiB from the user", upload},
	{"many users at once", manyUsers},
	{"a server that resets", serverResets},
	{"a user who resets", userResets},
}

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
			dir := t.TempDir()
			build(t, dir, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key")
			if c.build != nil {
				c.build(t, dir)
			}
			at := newRelay(t, relay)
			t.Run("serves", func(t *testing.T) { serves(t, c, at, dir) })
			t.Run("local server is down", func(t *testing.T) { serverIsDown(t, c, at, dir) })
			t.Run("is killed", func(t *testing.T) { isKilled(t, c, at, dir) })
			t.Run("without a key, at the control port", func(t *testing.T) { withoutKey(t, c, at, dir) })
			t.Run("asks for a name", func(t *testing.T) { asksForName(t, c, at, dir) })
			t.Run("the relay dies", func(t *testing.T) { relayDies(t, c, newRelay(t, relay), dir) })
		})
	}
}

// serves runs all cases with one client.
func serves(t *testing.T, c client, at *relay, dir string) {
	r := start(t, c, at, place{dir: dir, key: true})
	for _, one := range cases {
		t.Run(one.name, func(t *testing.T) {
			err := one.run(t, r)
			if why := c.lacks[one.name]; why != "" && err == nil {
				t.Errorf("it can do that now, although: %s", why)
			} else if why == "" && err != nil {
				t.Errorf("%v\nthe client says: %s", err, r.stderr())
			}
		})
	}
}

// user returns a user who has read the banner and said a word.
func (r *rig) user(verb string) (*net.TCPConn, error) {
	c, err := net.DialTimeout("tcp", r.public, patience)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	got := make([]byte, len(banner))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != banner {
		_ = c.Close()
		return nil, fmt.Errorf("the banner is %q: %w", got, errors.Join(err))
	}
	_, err = io.WriteString(c, verb+"\n")
	return c.(*net.TCPConn), err
}

func (r *rig) echo() error {
	c, err := r.user("echo")
	if err != nil {
		return err
	}
	defer c.Close()
	for n := range 3 {
		word := fmt.Sprintf("word %d", n)
		if _, err := io.WriteString(c, word); err != nil {
			return err
		}
		got := make([]byte, len(word))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != word {
			return fmt.Errorf("%q came back as %q, %v", word, got, err)
		}
	}
	_ = c.CloseWrite()
	return wantRest(c, "")
}

// wantRest returns an error if anything else comes than text, and the end.
func wantRest(c net.Conn, text string) error {
	got, err := io.ReadAll(c)
	if err != nil || string(got) != text {
		return fmt.Errorf("got %d bytes %.40q, %v; want %d and the end", len(got), got, err, len(text))
	}
	return nil
}

func userEndsFirst(_ *testing.T, r *rig) error {
	c, err := r.user("half")
	if err != nil {
		return err
	}
	defer c.Close()
	_, _ = io.WriteString(c, "12345")
	_ = c.CloseWrite()
	got, err := io.ReadAll(c)
	want, _ := io.ReadAll(io.LimitReader(random(5), answer))
	if err != nil || !bytes.Equal(got, want) {
		return fmt.Errorf("got %d bytes, %v; want %d", len(got), err, len(want))
	}
	return nil
}

func serverEndsFirst(t *testing.T, r *rig) error {
	c, err := r.user("first")
	if err != nil {
		return err
	}
	defer c.Close()
	if err := wantRest(c, ""); err != nil {
		return err
	}
	_, _ = io.WriteString(c, "late")
	_ = c.CloseWrite()
	within := patience
	if len(r.client.lacks) > 0 { // and may fail
		within = quiet
	}
	return eventuallyWithin(within, func() bool {
		r.local.mu.Lock()
		defer r.local.mu.Unlock()
		return len(r.local.late) > 0 && r.local.late[len(r.local.late)-1] == "late"
	}, "what was late has come")
}

func download(_ *testing.T, r *rig) error {
	c, err := r.user("down")
	if err != nil {
		return err
	}
	defer c.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, c)
	if got := hex.EncodeToString(sum.Sum(nil)); err != nil || got != sumOf(1, bulk) {
		return fmt.Errorf("%d of %d bytes, %v, SHA-256 %s", n, bulk, err, got)
	}
	return nil
}

func upload(_ *testing.T, r *rig) error {
	c, err := r.user("up")
	if err != nil {
		return err
	}
	defer c.Close()
	if n, err := io.CopyN(c, random(3), bulk); err != nil {
		return fmt.Errorf("after %d bytes: %w", n, err)
	}
	_ = c.CloseWrite()
	return eventually(func() bool {
		r.local.mu.Lock()
		defer r.local.mu.Unlock()
		return slices.Contains(r.local.sums, sumOf(3, bulk))
	}, "the local server has all, with its checksum")
}

func manyUsers(_ *testing.T, r *rig) error {
	users := r.client.users
	if users == 0 {
		users = 200
	}
	var running sync.WaitGroup
	errs := make(chan error, users)
	for range users {
		running.Go(func() { errs <- r.echo() })
	}
	running.Wait()
	close(errs)
	var all []error
	for err := range errs {
		if err != nil {
			all = append(all, err)
		}
	}
	if len(all) > 0 {
		return fmt.Errorf("%d of %d users: %w", len(all), users, all[0])
	}
	return nil
}

// endOf reads until the connection ends, and returns how.
func endOf(c net.Conn) (n int64, how ending, err error) {
	n, err = io.Copy(io.Discard, c)
	switch {
	case err == nil:
		return n, isEnd, nil
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return n, isReset, nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		how = isNothing
	}
	return n, how, err
}

func serverResets(_ *testing.T, r *rig) error {
	c, err := r.user("reset")
	if err != nil {
		return err
	}
	defer c.Close()
	if r.client.reset == isNothing {
		_ = c.SetReadDeadline(time.Now().Add(quiet))
	}
	if _, how, err := endOf(c); how != r.client.reset {
		return fmt.Errorf("the user sees %q, %v; want %s", how, err, r.client.reset)
	}
	return nil
}

func userResets(_ *testing.T, r *rig) error {
	c, err := r.user("endless")
	if err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, c, 1<<16); err != nil {
		return err
	}
	_ = c.SetLinger(0)
	_ = c.Close()
	return r.echo() // and all others are served
}

// serverIsDown has a user come whose local server is not there.
func serverIsDown(t *testing.T, c client, at *relay, dir string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	r := start(t, c, at, place{dir: dir, local: port})
	u, err := net.Dial("tcp", r.public)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	_ = u.SetDeadline(time.Now().Add(patience))
	if _, how, err := endOf(u); how != c.refused {
		t.Errorf("the user sees %q, %v; want %s", how, err, c.refused)
	}
}

// isKilled kills a client in the middle of a download, and starts it again.
func isKilled(t *testing.T, c client, at *relay, dir string) {
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		r := start(t, c, at, place{dir: dir, key: true})
		first := r.public
		u, err := r.user("endless")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, u, 1<<20); err != nil {
			t.Fatal(err)
		}
		r.signal(signal)
		if n, how, err := endOf(u); how != isReset {
			t.Errorf("%v: the user sees %q after %d bytes, %v; want a reset", signal, how, n, err)
		}
		_ = u.Close()
		r.stop()
		again := start(t, c, at, place{dir: dir, key: true})
		if again.public != first {
			t.Errorf("%v: it had %s, and has %s", signal, first, again.public)
		}
		if err := again.echo(); err != nil {
			t.Error(err)
		}
		again.stop()
	}
}

func withoutKey(t *testing.T, c client, at *relay, dir string) {
	r := start(t, c, at, place{dir: dir, port: at.control})
	if err := r.echo(); err != nil {
		t.Errorf("%v\nthe client says: %s", err, r.stderr())
	}
}

// asksForName has a name for a bind string, and a port that the relay does not open.
func asksForName(t *testing.T, c client, at *relay, dir string) {
	r := start(t, c, at, place{dir: dir, bind: "web-" + c.name, asked: 80})
	if r.client.session && !strings.HasSuffix(r.line, " web-"+c.name) {
		t.Errorf("the session shows %q", r.line)
	}
	if err := r.echo(); err != nil {
		t.Errorf("%v\nthe client says: %s", err, r.stderr())
	}
}

// relayDies kills the relay, and starts it again.
func relayDies(t *testing.T, c client, at *relay, dir string) {
	r := start(t, c, at, place{dir: dir, key: true})
	first := r.public
	u, err := r.user("endless")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	at.kill()
	if _, how, err := endOf(u); how != isReset {
		t.Errorf("the user sees %q, %v; want a reset", how, err)
	}
	if c.restarts {
		at.start(t)
		line, err := r.readLine()
		if err != nil || !strings.HasPrefix(line, first) {
			t.Errorf("it had %s, and has %q, %v", first, line, err)
		}
		return
	}
	if status := r.wait(t); status != c.exit {
		t.Errorf("it ends with status %d, want %d", status, c.exit)
	}
	at.start(t)
	if again := start(t, c, at, place{dir: dir, key: true}); again.public != first {
		t.Errorf("it had %s, and has %s", first, again.public)
	}
}

// eventually waits until ok returns true.
func eventually(ok func() bool, what string) error { return eventuallyWithin(patience, ok, what) }

func eventuallyWithin(limit time.Duration, ok func() bool, what string) error {
	for since := time.Now(); !ok(); {
		if time.Since(since) > limit {
			return errors.New("still not: " + what)
		}
		<-time.After(5 * time.Millisecond)
	}
	return nil
}

// build runs a command.
func build(t *testing.T, dir string, command ...string) {
	t.Helper()
	if strings.Contains(command[0], "/") && !filepath.IsAbs(command[0]) {
		command[0] = filepath.Join(dir, command[0])
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
}

// TestUpgrade has another process of the relay take over from the one that has a client: the
// client's users go on, and others come to it there. When it comes back it is the new process's,
// at the same port.
func TestUpgrade(t *testing.T) {
	c := clients[0]
	if _, err := exec.LookPath(c.tools); err != nil {
		t.Skipf("%s is not installed: apt-get install %s", c.tools, c.packages)
	}
	command := filepath.Join(t.TempDir(), "relay")
	build(t, ".", "go", "build", "-o", command, "github.com/seed96252745/relay/cmd/relay")
	dir := t.TempDir()
	build(t, dir, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key")
	at := newRelay(t, command)
	r := start(t, c, at, place{dir: dir, key: true})
	first := r.public
	u, err := r.user("echo")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	build(t, dir, command, "upgrade", "--stateDir="+at.dir)
	if _, err := io.WriteString(u, "still here"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(u, make([]byte, len("still here"))); err != nil {
		t.Fatalf("the user who was there: %v", err)
	}
	if err := r.echo(); err != nil {
		t.Errorf("a user who comes to the client of the old process: %v", err)
	}
	other := start(t, c, at, place{dir: dir})
	if err := other.echo(); err != nil {
		t.Errorf("a client of the new process: %v", err)
	}
	r.stop()
	again := start(t, c, at, place{dir: dir, key: true})
	if again.public != first {
		t.Errorf("it had %s, and has %s", first, again.public)
	}
	if err := again.echo(); err != nil {
		t.Error(err)
	}
}
