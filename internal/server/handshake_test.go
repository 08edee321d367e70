package server_test

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/server"
)

// A connection that sends no request is closed without a byte: its peer speaks another
// protocol, and would only be confused.
func TestNoRequestGetsNoBytes(t *testing.T) {
	r := start(t)
	for _, lines := range []string{
		"\n", "hello\n", "MULTIPLEX\n", " multiplex\n", "pool\n\n", "multiplex\rpool\n", "\x00", "\xff\xff\xff\n",
		"GET / HTTP/1.1\r\nHost: relay\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "SSH-2.0-OpenSSH_9.6\r\n",
		strings.Repeat("v", 65), "pool\n" + strings.Repeat("i", 129), "+" + strings.Repeat("o", 4097),
		strings.Repeat("+k v\n", 17) + "multiplex\n", "+\nmultiplex\n",
	} {
		wantNoBytes(t, r.request(lines), lines)
	}
	half := r.request("multi")
	if err := half.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	wantNoBytes(t, half, "half a line and the end")
	r.register() // and the relay is as good as before
}

// wantNoBytes expects that a connection is closed, in whatever way.
func wantNoBytes(t *testing.T, conn net.Conn, what string) {
	t.Helper()
	got, err := io.ReadAll(conn)
	if len(got) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%.40q: got %q, %v; want that it is closed without a byte", what, got, err)
	}
}

// A connection has a fixed time to send its request, however busy it seems.
func TestHandshakeTimeout(t *testing.T) {
	const limit = 100 * time.Millisecond
	r := start(t, func(c *server.Config) { c.Limits.HandshakeTimeout = limit })
	for name, lines := range map[string]string{"silent": "", "half a line": "multi", "one line of two": "pool\n"} {
		t.Run(name, func(t *testing.T) {
			since := time.Now()
			wantNoBytes(t, r.request(lines), lines)
			if took := time.Since(since); took < limit || took > patience/2 {
				t.Errorf("closed after %v, want %v", took, limit)
			}
		})
	}
	t.Run("a byte now and then", func(t *testing.T) {
		since := time.Now()
		conn := r.request("+")
		tick := time.NewTicker(limit / 10)
		defer tick.Stop()
		for range tick.C {
			if _, err := conn.Write([]byte("x")); err != nil {
				break
			}
			if time.Since(since) > patience/2 {
				t.Fatalf("still open after %v", time.Since(since))
			}
		}
	})
}

// Connections that send nothing do not keep away those that do.
func TestSilentConnectionsDoNotBlock(t *testing.T) {
	r := start(t)
	for range 200 {
		r.request("")
	}
	tunnel, _ := r.register()
	r.join(tunnel)
}

// The time limit is that of the handshake alone. What follows may take for ever.
func TestHandshakeLeavesNoDeadline(t *testing.T) {
	const limit = time.Second // for both requests, on a busy machine too
	r := start(t, func(c *server.Config) { c.Limits.HandshakeTimeout = limit })
	control := r.request("multiplex\n")
	tunnel := next(t, "registration", r.fake.tunnels)
	data := r.request("pool\nTHEID\n")
	c := next(t, "claim", r.fake.claims)
	<-time.After(limit + limit/5)
	conntest.Write(t, control, "x")
	conntest.Write(t, data, "x")
	if got := string(conntest.Read(t, tunnel.conn, 1)) + string(conntest.Read(t, c.conn, 1)); got != "xx" {
		t.Errorf("got %q", got)
	}
	if _, err := tunnel.conn.Write([]byte("x")); err != nil {
		t.Errorf("writing to a connection that registered: %v", err)
	}
	if _, err := c.conn.Write([]byte("x")); err != nil {
		t.Errorf("writing to a connection that claimed: %v", err)
	}
	_ = c.conn.Close()
}

// A claim goes to its protocol, with its payload, and gets no byte from the server.
func TestClaim(t *testing.T) {
	r := start(t, func(c *server.Config) {
		event := newFakeProtocol()
		use(c, "event", event)
	})
	conn := r.request("pool\nTHEID\nand payload")
	c := <-r.fake.claims
	if c.id != "THEID" {
		t.Errorf("the id is %q", c.id)
	}
	conntest.WantRead(t, c.conn, "and payload")
	conntest.Write(t, c.conn, "first byte")
	conntest.WantRead(t, conn, "first byte")
	_ = c.conn.Close()
}

func TestUnknownOptions(t *testing.T) {
	r := start(t)
	for lines, want := range map[string]string{
		"+color blue\nmultiplex\n":       "-unknown-option color",
		"+color\npool\nnew\n":            "-unknown-option color",
		"+a 1\r\n+b 2\r\nevent\r\nnew\n": "-unknown-option a",
	} {
		if got := r.refusal(lines); got != want {
			t.Errorf("%q is answered by %q, want %q", lines, got, want)
		}
	}
	// In place of an answer a claim gets a user's bytes. There must be none.
	for _, lines := range []string{"+color blue\npool\nTHEID\n", "+color blue\nevent\nTHEID\n"} {
		conntest.WantReset(t, r.request(lines))
	}
	if len(r.fake.claims)+len(r.fake.tunnels) > 0 {
		t.Error("a request with options was served")
	}
}

// A relay client that has gone before it was answered does not keep its port.
func TestRegistrationFails(t *testing.T) {
	r := start(t, func(c *server.Config) {
		c.Ports = freePorts(t, 1)
		use(c, "event", brokenProtocol{})
	})
	conntest.WantReset(t, r.request("event\nnew\n"))
	registerAgain(r)
}

// Close does not wait for connections that have not sent their request.
func TestCloseDuringHandshake(t *testing.T) {
	r := start(t, func(c *server.Config) { c.Limits.HandshakeTimeout = time.Hour })
	conn := r.request("multi")
	r.register() // the one before has been accepted
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		r.Close()
	}()
	_, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection was left open")
		_ = conn.Close() // lets Close return
	}
	wantClosed(t, "the end of Close", closed)
}
