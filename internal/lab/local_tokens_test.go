//go:build lab && linux

package lab_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/checker"
)

// door is a tokens file, and the secrets that belong to it.
type door struct {
	t       *testing.T
	path    string
	secrets map[string]string
}

// newDoor makes a file with these lines: a name, and what it may do.
func newDoor(t *testing.T, lines ...string) *door {
	t.Helper()
	d := &door{t: t, path: filepath.Join(t.TempDir(), "tokens"), secrets: make(map[string]string)}
	d.let(lines...)
	return d
}

// let has the file let these in, and nobody else.
func (d *door) let(lines ...string) {
	d.t.Helper()
	var text strings.Builder
	for _, line := range lines {
		name, may, _ := strings.Cut(line, " ")
		if d.secrets[name] == "" {
			d.secrets[name] = auth.NewSecret()
		}
		fmt.Fprintf(&text, "%s %s %s\n", name, auth.Hash(d.secrets[name]), may)
	}
	d.put(d.path, text.String())
}

// put writes a file as it should be written: whole, and for nobody else to read.
func (d *door) put(path, text string) {
	d.t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		d.t.Fatal(err)
	}
}

// file gives a file with the secret of a name.
func (d *door) file(name string) string {
	d.t.Helper()
	path := filepath.Join(d.t.TempDir(), name)
	d.put(path, d.secrets[name]+"\n")
	return path
}

// line is the option with the token of a name.
func (d *door) line(name string) string { return "+token " + d.secrets[name] + "\n" }

// rawAnswer reads the answer to a registration: a port, or a refusal.
func rawAnswer(t *testing.T, conn net.Conn) string {
	t.Helper()
	for {
		if line := rawLine(t, conn); !strings.HasPrefix(line, "+") {
			return line
		}
	}
}

// Tokens that are not good, and what is no token.
func TestRow43Tokens(t *testing.T) {
	d := newDoor(t, "good tunnels=50", "old expires=2020-01-31", "scoped ports=31000-31009")
	relay, addr := localRelay(t, "--tokens="+d.path)
	good := rawAnswer(t, rawRelay(t, addr, d.line("good")+"event\nnew\n"))
	for _, c := range []struct{ name, fault, lines, want string }{
		{"none", "no token", "event\nnew\n", "-unauthorized "},
		{"wrong", "a wrong token", "+token " + auth.NewSecret() + "\nevent\nnew\n", "-unauthorized "},
		{"hash", "the hash in place of the token", "+token " + auth.Hash(d.secrets["good"]) + "\nevent\nnew\n", "-unauthorized "},
		{"empty", "an empty token", "+token \nevent\nnew\n", "-bad-option "},
		{"expired", "an expired token", d.line("old") + "event\nnew\n", "-expired "},
		{"scope", "a port that the token is not good for", d.line("scoped") + "+port 31010\nevent\nnew\n", "-forbidden "},
		{"no-scope", "a port, by a token without ports", d.line("good") + "+port " + good + "\nevent\nnew\n", "-forbidden "},
	} {
		t.Run("row43_token-"+c.name+"/any", func(t *testing.T) {
			conn := rawRelay(t, addr, c.lines)
			got, end := rawEnd(conn)
			if !strings.HasPrefix(got, c.want) || end == "hang" {
				t.Errorf("answered with %q and %s, want %q", got, end, c.want)
			}
			record(t, "43", c.fault, "raw socket", fmt.Sprintf("refused with %q", strings.TrimSpace(got)))
		})
	}
	t.Run("row43_token-long/any", func(t *testing.T) {
		before := relay.state()
		conn := rawRelay(t, addr, "+token ")
		taken := 0
		for chunk := bytes.Repeat([]byte("x"), 4<<10); taken < 1<<20; taken += len(chunk) {
			if _, err := conn.Write(chunk); err != nil {
				break
			}
		}
		got, end := rawEnd(conn)
		if got != "" || end == "hang" {
			t.Errorf("answered with %q and %s, want an end without a byte", got, end)
		}
		after := relay.state()
		if grown := after.HeapBytes - before.HeapBytes; grown > 1<<20 {
			t.Errorf("the heap has grown by %s", mib(grown))
		}
		record(t, "43", "a token of 1 MiB", "raw socket",
			fmt.Sprintf("closed after %d KiB, with what systems buffer; heap %s, was %s", taken>>10, mib(after.HeapBytes), mib(before.HeapBytes)))
	})
}

// A token is revoked while its tunnel has users.
func TestRow43Revoked(t *testing.T) {
	eachLocal(t, "row43_revoked", func(t *testing.T, protocol string) {
		t.Parallel() // it waits, mostly
		const limit = 5 * time.Second
		d := newDoor(t, "a", "b")
		r := newLocalRig(t, protocol, localSetup{relay: []string{"--tokens=" + d.path}, forwarder: []string{"--tokenFile=" + d.file("a")}})
		_, other := localForwarder(t, r.relayAddr, r.local, protocol, "--tokenFile="+d.file("b"))
		r.use(r.public, "--users=10", "--parallel=10", "--modes=idle", "--linger=60s", "--up=1000")
		spared := r.use(other, "--users=10", "--parallel=10", "--modes=idle", "--linger=8s", "--up=1000")
		until(t, "all users are served", func() bool { return r.relay.state().Users == 20 })
		begin := time.Now()
		d.let("b")
		until(t, "the users of a have ended", func() bool { return r.relay.state().Users <= 10 })
		took := time.Since(begin)
		r.forwarder.line(0, "why it is not registered", func(line string) bool {
			return strings.Contains(line, "not registered") && strings.Contains(line, "(unauthorized)")
		})
		if took > limit {
			t.Errorf("users end after %v, want %v", took, limit)
		}
		if conn, err := rawTry(r.public, ""); err == nil {
			t.Error("the port is open still")
			rawReset(conn)
		}
		if !spared.wait() {
			t.Error("users of another token failed")
		}
		s := r.verify(checker.Rules{Faulty: true})
		if s.Complete != 10 || s.Ends[checker.EndReset] != 10 {
			t.Errorf("got %v, want 10 complete, and 10 reset", s.Ends)
		}
		record(t, "43", "a token is revoked while its tunnel has users", "line taken out of the tokens file",
			fmt.Sprintf("users reset and port closed after %.1f s; the forwarder says that it is not authorized; %d users of another token complete", took.Seconds(), s.Complete))
	})
}

// A token expires while its tunnel has users.
func TestRow43Expires(t *testing.T) {
	eachLocal(t, "row43_expires", func(t *testing.T, protocol string) {
		t.Parallel() // it waits, mostly
		const limit = 5 * time.Second
		expiry := time.Now().Add(shortOr(6*time.Second, 12*time.Second)).Truncate(time.Second)
		d := newDoor(t, "a expires="+expiry.UTC().Format(time.RFC3339), "b")
		r := newLocalRig(t, protocol, localSetup{relay: []string{"--tokens=" + d.path}, forwarder: []string{"--tokenFile=" + d.file("a")}})
		r.use(r.public, "--users=10", "--parallel=10", "--modes=idle", "--linger=60s", "--up=1000")
		until(t, "all users are served", func() bool { return r.relay.state().Users == 10 })
		until(t, "the users of a have ended", func() bool { return r.relay.state().Users == 0 })
		took := time.Since(expiry)
		r.forwarder.line(0, "why it is not registered", func(line string) bool {
			return strings.Contains(line, "not registered") && strings.Contains(line, "(expired)")
		})
		if took < 0 || took > limit {
			t.Errorf("users end %v after the token has expired, want at once, and within %v", took, limit)
		}
		s := r.verify(checker.Rules{Faulty: true})
		if s.Ends[checker.EndReset] != 10 {
			t.Errorf("got %v, want 10 reset", s.Ends)
		}
		record(t, "43", "a token expires while its tunnel has users", "expires= in the tokens file",
			fmt.Sprintf("users reset %.1f s after that; the forwarder says that it has expired", took.Seconds()))
	})
}
