//go:build linux

package servers_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
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

// proxied is a server that takes PROXY headers, and writes the user's address into its log.
type proxied struct {
	name     string
	versions []string // that it takes; both if there are none
	// set are the lines of docs/proxy-protocol.md that the configuration has.
	set []string
	// start starts it on a port of 127.0.0.1, with a folder of its own.
	start func(s *site)
	// talk does what a user does until the server logs the user's address.
	talk func(c net.Conn) error
}

// site is where a server of a test runs.
type site struct {
	*testing.T
	dir, port string
	log       *serverLog
}

// serverLog is what a server writes, on its output and into the files of its folder.
type serverLog struct {
	mu   sync.Mutex // guards text
	text strings.Builder
	file string // or empty
}

func (l *serverLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *serverLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.text.String()
	if l.file != "" {
		more, _ := os.ReadFile(l.file)
		text += string(more)
	}
	return text
}

// Users who come through a relay appear in the log of each server as who they are: of IPv4 and
// IPv6, with the versions that the server takes.
func TestProxyProtocol(t *testing.T) {
	page, err := os.ReadFile("../../docs/proxy-protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range proxiedServers() {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			for _, line := range server.set {
				if !strings.Contains(string(page), line) {
					t.Errorf("docs/proxy-protocol.md does not have the line that the server needs: %s", line)
				}
			}
			dir, err := os.MkdirTemp("", "relay-server-") // which the users of servers can reach
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // servers give up root
				t.Fatal(err)
			}
			s := &site{T: t, dir: dir, port: conntest.FreePort(t), log: new(serverLog)}
			server.start(s)
			s.awaitPort()
			for _, version := range []string{"v1", "v2"} {
				if len(server.versions) > 0 && !slices.Contains(server.versions, version) {
					continue
				}
				public := s.online(version)
				for _, user := range []string{"127.0.0.9", "::1"} {
					t.Run(version+" from "+user, func(t *testing.T) { s.logs(t, server, user, public) })
				}
			}
		})
	}
}

// logs has a user come, and waits for the address in the log.
func (s *site) logs(t *testing.T, server proxied, user, public string) {
	before := len(s.log.String())
	to := "127.0.0.1"
	if strings.Contains(user, ":") {
		to = "::1"
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(user)}}
	c, err := d.Dial("tcp", net.JoinHostPort(to, public))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience / 4))
	if err := server.talk(c); err != nil {
		t.Fatalf("%v\nthe server says: %s", err, s.log)
	}
	_ = c.Close()
	for since := time.Now(); !strings.Contains(s.log.String()[before:], user); {
		if time.Since(since) > patience/4 {
			t.Fatalf("the log does not have %s:\n%s", user, s.log.String()[before:])
		}
		<-time.After(10 * time.Millisecond)
	}
}

// online puts the server online at both families, and returns the public port. The forwarder
// comes from 127.0.0.1, so that ::1 in the log is the user.
func (s *site) online(version string) (public string) {
	relayPort := conntest.FreePort(s.T)
	first := conntest.FreePorts(s.T, 2)
	relay := start(s.T, command(s.T, relayCommand, fmt.Sprintf("--ports=%d-%d", first, first+1), relayPort))
	relay.await(s.T, "relay is ready")
	forwarder := start(s.T, command(s.T, relayCommand, "--localForwardPort="+s.port, "--localForwardHost="+loopback,
		"--proxyProtocol="+version, loopback, relayPort))
	at, _, _ := strings.Cut(forwarder.await(s.T, " -> "), " -> ")
	_, public, err := net.SplitHostPort(at)
	if err != nil {
		s.Fatal(err)
	}
	return public
}

// run runs the server, with its children, until the end of the test.
func (s *site) run(path string, args ...string) {
	s.Helper()
	ctx, cancel := context.WithCancel(s.Context())
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env = s.dir, []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=" + s.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.Stdout, cmd.Stderr = s.log, s.log
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // for children that have left the group
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if s.Failed() {
			s.Logf("%s: %s", filepath.Base(path), s.log)
		}
	})
}

// awaitPort waits until the server listens.
func (s *site) awaitPort() {
	s.Helper()
	for since := time.Now(); time.Since(since) < patience/4; <-time.After(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", net.JoinHostPort(loopback, s.port)); err == nil {
			_ = c.Close()
			return
		}
	}
	s.Fatalf("the server does not listen: %s", s.log)
}

// write writes a file of the server's folder, and returns its path. In text {dir} and {port} are
// the server's.
func (s *site) write(name, text string) string {
	s.Helper()
	path := filepath.Join(s.dir, name)
	text = strings.NewReplacer("{dir}", s.dir, "{port}", s.port).Replace(text)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // servers give up root
		s.Fatal(err)
	}
	return path
}

// askPage asks for a page, and takes any answer.
func askPage(c net.Conn) error {
	_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n")
	if err == nil {
		_, err = wantText(c, "HTTP/1.")
	}
	return err
}

// wantText reads until text has come.
func wantText(c net.Conn, text string) (all string, err error) {
	b := make([]byte, 4096)
	for !strings.Contains(all, text) {
		n, err := c.Read(b)
		all += string(b[:n])
		if err != nil && !strings.Contains(all, text) {
			return all, fmt.Errorf("%q came, and not %q: %w", all, text, err)
		}
	}
	return all, nil
}

func atoi(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}
