package main_test

import (
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seed96252745/relay/internal/conntest"
)

const loopback = "127.0.0.1"

// freeport <variable>...: puts ports that are free into variables.
func (s *script) freePort(ts *testscript.TestScript, args []string) {
	for _, variable := range args {
		ts.Setenv(variable, conntest.FreePort(s.t))
	}
}

// listen listens on behalf of a script: at a port of loopback, or at unix: and a path.
func (s *script) listen(ts *testscript.TestScript, name, at string) net.Listener {
	network, addr := "tcp", net.JoinHostPort(loopback, at)
	if path, isUnix := strings.CutPrefix(at, "unix:"); isUnix {
		network, addr = "unix", ts.MkAbs(path)
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		ts.Fatalf("%v", err)
	}
	s.listeners[name] = l
	return l
}

// server <name> <port or unix:path>: starts a server that sends back what it gets.
func (s *script) server(ts *testscript.TestScript, args []string) {
	l := s.listen(ts, args[0], args[1])
	s.serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			s.serving.Go(func() {
				_, _ = io.Copy(conn, conn) // ends with the user or the forwarder
				_ = conn.Close()
			})
		}
	})
}

// occupy <port>: takes a port, so that no other program can.
func (s *script) occupy(ts *testscript.TestScript, args []string) { s.listen(ts, args[0], args[0]) }

// vacate <name>: ends what server or occupy started.
func (s *script) vacate(ts *testscript.TestScript, args []string) {
	l, ok := s.listeners[args[0]]
	if !ok || l.Close() != nil {
		ts.Fatalf("nothing is occupied under the name %s", args[0])
	}
}

// connect <name> <port>: connects as a user.
func (s *script) connect(ts *testscript.TestScript, args []string) {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(loopback, args[1]), patience)
	if err != nil {
		ts.Fatalf("%v", err)
	}
	s.conns[args[0]] = conn.(*net.TCPConn)
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		ts.Fatalf("%v", err)
	}
}

func (s *script) conn(ts *testscript.TestScript, name string) *net.TCPConn {
	conn, ok := s.conns[name]
	if !ok {
		ts.Fatalf("there is no user %s", name)
	}
	return conn
}

// talk <name> <text>: sends something, and expects it back.
func (s *script) talk(ts *testscript.TestScript, args []string) {
	conn := s.conn(ts, args[0])
	if _, err := io.WriteString(conn, args[1]); err != nil {
		ts.Fatalf("%v", err)
	}
	got := make([]byte, len(args[1]))
	if n, err := io.ReadFull(conn, got); err != nil || string(got) != args[1] {
		ts.Fatalf("got %q, %v; want %q", got[:n], err, args[1])
	}
}

// say <name> <text>: sends something, in which \n and the like stand for what they do in Go.
func (s *script) say(ts *testscript.TestScript, args []string) {
	text, err := strconv.Unquote(`"` + args[1] + `"`)
	if err != nil {
		ts.Fatalf("%q: %v", args[1], err)
	}
	if _, err := io.WriteString(s.conn(ts, args[0]), text); err != nil {
		ts.Fatalf("%v", err)
	}
}

// hangup <name>: ends the user's direction, and expects the end of the other.
func (s *script) hangUp(ts *testscript.TestScript, args []string) {
	conn := s.conn(ts, args[0])
	if err := conn.CloseWrite(); err != nil {
		ts.Fatalf("%v", err)
	}
	if got, err := io.ReadAll(conn); err != nil || len(got) > 0 {
		ts.Fatalf("got %q, %v; want the end", got, err)
	}
}

// reset <name>: expects that the user's connection is reset.
func (s *script) wantReset(ts *testscript.TestScript, args []string) {
	if got, err := io.ReadAll(s.conn(ts, args[0])); !errors.Is(err, syscall.ECONNRESET) {
		ts.Fatalf("got %q, %v (nil is EOF); want a reset", got, err)
	}
}

// unserved <port>: connects as a user, and expects a reset, perhaps so soon that connecting
// fails.
func (s *script) unserved(ts *testscript.TestScript, args []string) {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(loopback, args[0]), patience)
	if err == nil {
		defer conn.Close()
		if err = conn.SetDeadline(time.Now().Add(patience)); err == nil {
			_, err = io.ReadAll(conn)
		}
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		ts.Fatalf("got %v (nil is EOF), want a reset", err)
	}
}

// refused <port>: expects that nothing listens on a port.
func (s *script) wantRefused(ts *testscript.TestScript, args []string) {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(loopback, args[0]), patience)
	if err == nil {
		_ = conn.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		ts.Fatalf("got %v, want that the connection is refused", err)
	}
}

// reachable <port>: waits until something listens on a port, for programs that do not print
// it.
func (s *script) reachable(ts *testscript.TestScript, args []string) {
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for since := time.Now(); time.Since(since) < patience; <-again.C {
		conn, err := net.Dial("tcp", net.JoinHostPort(loopback, args[0]))
		if err == nil {
			_ = conn.Close()
			return
		}
	}
	ts.Fatalf("nothing listens on port %s", args[0])
}
