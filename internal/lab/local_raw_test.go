//go:build lab && linux

package lab_test

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// rawDial connects to an address, from an address unless that is empty. The
// connection fails rather than hang, and is reset at the end of the test.
func rawDial(t *testing.T, to, from string) *net.TCPConn {
	t.Helper()
	conn, err := rawTry(to, from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rawReset(conn) })
	return conn
}

func rawTry(to, from string) (*net.TCPConn, error) {
	dialer := net.Dialer{Timeout: localPatience}
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	conn, err := dialer.Dial("tcp", to)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(localPatience))
	return conn.(*net.TCPConn), nil
}

func rawReset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}

// rawRelay connects to a relay as a relay client, and says something.
func rawRelay(t *testing.T, relay, lines string) *net.TCPConn {
	t.Helper()
	conn := rawDial(t, relay, "")
	rawWrite(t, conn, lines)
	return conn
}

func rawWrite(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// rawLine reads a line, byte by byte: what follows may be payload.
func rawLine(t *testing.T, conn net.Conn) string {
	t.Helper()
	var line strings.Builder
	for b := make([]byte, 1); ; {
		if _, err := io.ReadFull(conn, b); err != nil {
			t.Fatalf("got %q and %v, want a line", line.String(), err)
		}
		if b[0] == '\n' {
			return line.String()
		}
		line.Write(b)
	}
}

// rawPublic reads the port of a registration, and gives the public address.
func rawPublic(t *testing.T, conn net.Conn) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", rawLine(t, conn))
}

// rawFull reads so many bytes.
func rawFull(t *testing.T, conn net.Conn, n int) string {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(conn, b); err != nil {
		t.Fatalf("got %v, want %d bytes", err, n)
	}
	return string(b)
}

// rawEnd reads to the end, and gives what came and how it ended: "fin",
// "reset", "hang", or an error.
func rawEnd(conn net.Conn) (text, end string) {
	got, err := io.ReadAll(conn)
	switch {
	case err == nil:
		return string(got), "fin"
	case errors.Is(err, syscall.ECONNRESET):
		return string(got), "reset"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return string(got), "hang"
	}
	return string(got), err.Error()
}

// rawSplice joins two connections until the test ends. A reset becomes an end,
// so it is for users who are through by then.
func rawSplice(t *testing.T, a, b *net.TCPConn) {
	var copying sync.WaitGroup
	for _, way := range [][2]*net.TCPConn{{a, b}, {b, a}} {
		copying.Go(func() {
			if _, err := io.Copy(way[0], way[1]); err == nil {
				_ = way[0].CloseWrite()
			}
		})
	}
	t.Cleanup(func() {
		rawReset(a)
		rawReset(b)
		copying.Wait()
	})
}

// rawWait waits for a while, where it is the passing of time that is tried.
func rawWait(d time.Duration) { <-time.After(d) }
