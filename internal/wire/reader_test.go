package wire_test

import (
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/wire"
)

// Ways in which the same bytes arrive.
var deliveries = map[string]func(t *testing.T, to net.Conn, all string){
	"one segment": func(t *testing.T, to net.Conn, all string) {
		if _, err := io.WriteString(to, all); err != nil {
			t.Error(err)
		}
	},
	"a byte a segment": func(t *testing.T, to net.Conn, all string) {
		for i := range len(all) {
			if _, err := io.WriteString(to, all[i:i+1]); err != nil {
				t.Error(err)
				return
			}
		}
	},
}

// forEachDelivery runs f for every kind of connection and every way in which all can
// arrive on it. The peer closes after it.
func forEachDelivery(t *testing.T, all string, f func(t *testing.T, conn net.Conn)) {
	for kind, pair := range connKinds {
		for delivery, deliver := range deliveries {
			t.Run(kind+", "+delivery, func(t *testing.T) {
				conn, peer := pair(t)
				delivered := make(chan struct{})
				go func() {
					defer close(delivered)
					deliver(t, peer, all)
					_ = peer.Close()
				}()
				f(t, conn)
				<-delivered
			})
		}
	}
}

// The connection must stand at the payload's first byte once the lines are read,
// whatever came together with them.
func TestReaderLeavesThePayload(t *testing.T) {
	sixteen, parsed := options(16)
	// Longer than what the Reader peeks at, so that lines cross its buffer.
	long := strings.Repeat("v", 1000)
	payload := "new\n+payload \r\n\n\x00\xff" + strings.Repeat("multiplex\n", 50)
	tests := []struct {
		name, lines string
		want        wire.Request
	}{
		{"one line", "multiplex\n", wire.Request{Verb: multiplex}},
		{"two lines", "pool\nnew\n", wire.Request{Verb: pool}},
		{"CRLF", "event\r\nABC\r\n", wire.Request{Verb: event, ID: "ABC"}},
		{"longest id", "pool\n" + strings.Repeat("i", 128) + "\n", wire.Request{Verb: pool, ID: strings.Repeat("i", 128)}},
		{"long option", "+k " + long + "\nmultiplex\n", wire.Request{Verb: multiplex, Options: []wire.Option{{"k", long}}}},
		{"many options", sixteen + "event\nX\n", wire.Request{Verb: event, ID: "X", Options: parsed}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			forEachDelivery(t, tt.lines+payload, func(t *testing.T, conn net.Conn) {
				got, err := wire.ReadRequest(wire.NewReader(conn), verbs)
				if err != nil || !reflect.DeepEqual(got, tt.want) {
					t.Fatalf("got %+v, %v; want %+v", got, err, tt.want)
				}
				if rest, err := io.ReadAll(conn); err != nil || string(rest) != payload {
					t.Errorf("the connection goes on with %q, %v; want %q", rest, err, payload)
				}
			})
		})
	}
}

// The relay client reads two lines with one Reader, and then the user's bytes.
func TestReaderOfTwoLines(t *testing.T) {
	forEachDelivery(t, "20001\nCU7\n\nuser", func(t *testing.T, conn net.Conn) {
		r := wire.NewReader(conn)
		port, err := readPort(r)
		if err != nil || port != 20001 {
			t.Fatalf("got port %d, %v", port, err)
		}
		id, err := wire.ReadID(r)
		if err != nil || id != "CU7" {
			t.Fatalf("got id %q, %v", id, err)
		}
		if rest, err := io.ReadAll(conn); err != nil || string(rest) != "\nuser" {
			t.Errorf("the connection goes on with %q, %v", rest, err)
		}
	})
}

func TestReaderAtTheEnd(t *testing.T) {
	for in, want := range map[string]error{"": io.EOF, "pool\nAB": io.ErrUnexpectedEOF, "pool\n": io.ErrUnexpectedEOF} {
		t.Run(in, func(t *testing.T) {
			forEachDelivery(t, in, func(t *testing.T, conn net.Conn) {
				if req, err := wire.ReadRequest(wire.NewReader(conn), verbs); !errors.Is(err, want) {
					t.Errorf("got %+v, %v; want %v", req, err, want)
				}
			})
		})
	}
}

// A reset is neither an end nor a line.
func TestReaderOfResetConnection(t *testing.T) {
	for _, kind := range []string{"peek", "tcp"} {
		t.Run(kind, func(t *testing.T) {
			conn, peer := connKinds[kind](t)
			if err := peer.(*net.TCPConn).SetLinger(0); err != nil {
				t.Fatal(err)
			}
			if err := peer.Close(); err != nil {
				t.Fatal(err)
			}
			_, err := wire.ReadRequest(wire.NewReader(conn), verbs)
			if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %v, want the reset", err)
			}
		})
	}
}

// A deadline ends the wait for a line, even one that is set while the Reader waits. The
// connection is as good as before.
func TestReaderHonorsDeadline(t *testing.T) {
	for kind, pair := range connKinds {
		t.Run(kind, func(t *testing.T) {
			conn, peer := pair(t)
			read := make(chan error, 1)
			r := wire.NewReader(conn)
			go func() {
				_, err := wire.ReadRequest(r, verbs)
				read <- err
			}()
			if err := conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("got %v, want %v", err, os.ErrDeadlineExceeded)
			}
			if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			go func() {
				_, err := io.WriteString(peer, "pool\nnew\n")
				read <- err
			}()
			if req, err := wire.ReadRequest(r, verbs); err != nil || req.Verb != pool {
				t.Errorf("after the deadline was lifted: got %+v, %v", req, err)
			}
			if err := <-read; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestReaderHonoursDeadlineToTheTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, peer := net.Pipe()
		defer peer.Close()
		start := time.Now()
		if err := conn.SetReadDeadline(start.Add(5*time.Second + time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for _, c := range "+an option, a byte a second" {
				timer := time.NewTimer(time.Second)
				<-timer.C
				if _, err := peer.Write([]byte(string(c))); err != nil {
					return // the reader has gone, as it should
				}
			}
		}()
		_, err := wire.ReadRequest(wire.NewReader(conn), verbs)
		if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || took != 5*time.Second+time.Millisecond {
			t.Errorf("got %v after %v; a slow sender must not put the deadline off", err, took)
		}
		_ = conn.Close()
		<-sent
	})
}

// A connection can be closed while its Reader waits.
func TestReaderOfClosedConnection(t *testing.T) {
	for kind, pair := range connKinds {
		t.Run(kind, func(t *testing.T) {
			conn, peer := pair(t)
			read := make(chan error, 1)
			go func() {
				_, err := wire.ReadRequest(wire.NewReader(conn), verbs)
				read <- err
			}()
			if _, err := io.WriteString(peer, "multi"); err != nil {
				t.Fatal(err)
			}
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			if err := <-read; !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("got %v, want that the connection is closed", err)
			}
		})
	}
}

// noSocket is a connection whose socket is not available, as when the process has no
// more descriptors.
type noSocket struct{ net.Conn }

func (noSocket) TCP() *net.TCPConn { return nil }

func TestReaderWithoutSocket(t *testing.T) {
	ours, peer := tcpPair(t)
	if _, err := peer.Write([]byte("multiplex\n")); err != nil {
		t.Fatal(err)
	}
	req, err := wire.ReadRequest(wire.NewReader(noSocket{ours}), verbs)
	if err != nil || req.Verb != multiplex {
		t.Errorf("got %+v, %v; want what was sent", req, err)
	}
}
