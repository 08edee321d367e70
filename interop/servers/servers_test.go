//go:build linux

// Package servers_test puts real servers online through the relay command and uses
// their own clients, over each protocol. Relay knows nothing of their protocols; these
// tests show that it need not.
//
// TestPages does what the pages for users say, with the same servers.
package servers_test

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
)

const loopback = "127.0.0.1"

// relayCommand is the path of cmd/relay, built.
var relayCommand string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "relay-servers-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	relayCommand = filepath.Join(dir, "relay")
	build := exec.Command("go", "build", "-o", relayCommand, "github.com/seed96252745/relay/cmd/relay")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v: %v\n%s", build, err, out)
		return 1
	}
	return m.Run()
}

// tunnel is where a server is online.
type tunnel struct {
	protocol string
	port     string
}

// online puts the server on port online over each protocol, each with its own
// forwarder, which gets the flags.
func online(t *testing.T, port string, flags ...string) []tunnel {
	t.Helper()
	relayPort := conntest.FreePort(t)
	relay := start(t, command(t, relayCommand, "--bind="+loopback, "--ports=22000-22999", relayPort))
	relay.await(t, "relay is ready")
	var tunnels []tunnel
	for _, protocol := range []string{"multiplex", "pool", "event"} {
		args := append([]string{"--localForwardPort=" + port, "--localForwardHost=" + loopback, "--protocol=" + protocol, loopback, relayPort}, flags...)
		forwarder := start(t, command(t, relayCommand, args...))
		line := forwarder.await(t, " -> ")
		public, rest, _ := strings.Cut(line, " -> ")
		host, publicPort, err := net.SplitHostPort(public)
		if err != nil || host != loopback || rest != fmt.Sprintf("%s:%s (%s)", loopback, port, protocol) {
			t.Fatalf("the forwarder printed %q", line)
		}
		tunnels = append(tunnels, tunnel{protocol, publicPort})
	}
	return tunnels
}

// expectGreeting connects and sends nothing: the server begins.
func (u tunnel) expectGreeting(t *testing.T, want string) {
	t.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort(loopback, u.port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	var got []byte
	for buf := make([]byte, 1024); !strings.Contains(string(got), want); {
		n, err := conn.Read(buf)
		got = append(got, buf[:n]...)
		if err != nil {
			t.Fatalf("the server's greeting is %q without %q: %v", got, want, err)
		}
	}
}

// rows returns lines of a number and a word, with a tab between.
func rows(n int) []byte {
	var text []byte
	words := random(16 * n)
	for i := range n {
		text = append(strconv.AppendInt(text, int64(i), 10), '\t')
		text = append(hex.AppendEncode(text, words[16*i:16*i+16]), '\n')
	}
	return text
}

func random(n int) []byte {
	data := make([]byte, n)
	rand.Read(data)
	return data
}
