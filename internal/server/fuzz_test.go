package server_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/wire"
)

// The public ports of a relay for a fuzzer.
const firstFuzzed, lastFuzzed = 20000, 20999

// fuzzed is a relay for a fuzzer. Its public ports are not opened.
type fuzzed struct {
	fake *fakeProtocol
	addr string
	// held are ports and names that leases hold, or have held a moment ago.
	held map[string]holder
}

// holder is whose lease it is, by its key, and since when.
type holder struct {
	key   string
	since time.Time
}

// wished are the port and the name that a relay client wants for itself.
func wished(said wire.Preamble) (things []string) {
	if said.Port != 0 {
		things = append(things, "port "+strconv.Itoa(said.Port))
	}
	if said.Lease != "" && said.Name != "" {
		things = append(things, "name "+said.Name)
	}
	return things
}

// isHeld reports whether a registration may be refused, or not, as time has passed
// since another one.
func (f fuzzed) isHeld(req wire.Request) bool {
	said, _ := wire.ParsePreamble(req.Options)
	return !req.IsClaim() && slices.ContainsFunc(wished(said), func(thing string) bool {
		h := f.held[thing]
		return h.key != said.Lease && time.Since(h.since) < patience
	})
}

// hold notes what a lease holds.
func (f fuzzed) hold(said wire.Preamble, port int) {
	if said.Lease == "" {
		return
	}
	said.Port = port
	for _, thing := range wished(said) {
		f.held[thing] = holder{said.Lease, time.Now()}
	}
}

func startFuzzed(f *testing.F) fuzzed {
	fake := newFakeProtocol()
	s, err := server.New(server.Config{
		Protocols: under(verbs, fake),
		Ports:     port.Range{First: firstFuzzed, Last: lastFuzzed},
		Listen:    func(int) (conn.Listener, error) { return newFakeListener(), nil },
		Logger:    slog.New(slog.DiscardHandler),
		// Or ports run out. It is long enough for an owner who comes again at once: one
		// who comes as it ends is served a little later.
		Lease: 300 * time.Millisecond,
		// All inputs come from one address.
		Limits: admission.Limits{Handshakes: -1, HandshakesPerSource: -1, WrongClaims: -1, TunnelsPerSource: -1},
	})
	if err != nil {
		f.Fatal(err)
	}
	l, err := transport.ListenRelayClients(loopback + ":0")
	if err != nil {
		f.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(l)
	}()
	f.Cleanup(func() {
		s.Close()
		<-served
	})
	return fuzzed{fake, l.Addr().String(), make(map[string]holder)}
}

// Whatever a connection to the control port begins with, in whatever segments,
// it is what wire makes of it: a registration gets one line, everything else
// not a byte, and the payload of a claim is all there.
func FuzzHandshake(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "multiplex\n", "multiplex\r\nand payload", "pool\nnew\n", "event\nnew\n", "pool\nID\nand payload", "event\r\nID\r\n",
		"+color blue\nmultiplex\n", "+color\npool\nID\n", strings.Repeat("+k v\n", 16) + "event\nnew\n", strings.Repeat("+k v\n", 17),
		"+token T\n+port 20001\n+name web\n+proxy v2\nmultiplex\nand payload", "+token T\npool\nID\nand payload", "+port 80\nevent\nnew\n",
		"+lease ABCDEFGHIJKLMNOPQRSTUVWXYZ\n+instance 1\nmultiplex\n", "+users 0\nmultiplex\n", "+port 1\n+port 1\npool\nnew\n",
		"+allow 10.0.0.0/8\n+deny 10.0.0.1\n+users 1\n+users-per-second 1\n+bytes-per-second 1\nevent\nnew\n",
		"+session ID\nmultiplex\nand payload", "+session\nmultiplex\n", "+session ID\npool\nnew\n", "+sessions 2\nevent\nnew\n", "+session A\n+session B\nmultiplex\n",
		"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\nmultiplex\n", "multiplex",
		strings.Repeat("v", 65), "pool\n" + strings.Repeat("i", 129) + "\n", "+" + strings.Repeat("o", 4096) + "\nmultiplex\n",
	} {
		f.Add([]byte(seed), uint16(0))
		f.Add([]byte(seed), uint16(5))
	}
	relay := startFuzzed(f)
	f.Fuzz(func(t *testing.T, in []byte, segment uint16) {
		if len(in) > 80_000 {
			return // longer than any request
		}
		come := bytes.NewReader(in)
		req, bad := wire.ReadRequest(come, verbs)
		if bad == nil && relay.isHeld(req) {
			return
		}
		conn, err := net.Dial("tcp", relay.addr)
		if err != nil {
			t.Fatal(err)
		}
		client := transport.NewConn(conn.(*net.TCPConn))
		defer func() { _ = client.Reset() }() // or ports run out, in TIME_WAIT
		if err := client.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		sendSegments(client, in, int(segment))
		relay.check(t, client, req, bad, in[len(in)-come.Len():])
	})
}

// sendSegments sends in, at most 30 segments of it, and the end. It fails when
// the relay has closed the connection.
func sendSegments(client *transport.Conn, in []byte, size int) {
	size = max(size, len(in)/30, 1)
	for len(in) > 0 {
		n, err := client.Write(in[:min(size, len(in))])
		if err != nil {
			return
		}
		in = in[n:]
	}
	_ = client.CloseWrite()
}

// check expects the answer to a request, or to what is none.
func (f fuzzed) check(t *testing.T, client *transport.Conn, req wire.Request, err error, payload []byte) {
	said, bad := wire.ParsePreamble(req.Options)
	switch {
	case err != nil || req.IsClaim() && bad != nil:
		wantNoBytes(t, client, "no request")
	case req.IsClaim():
		c := next(t, "claim", f.fake.claims)
		defer func() { _ = c.conn.Reset() }()
		if c.id != req.ID {
			t.Errorf("id %q was claimed, and %q arrived", req.ID, c.id)
		}
		if got, err := io.ReadAll(c.conn); !bytes.Equal(got, payload) || err != nil {
			t.Errorf("the payload is %q, %v; want %q", got, err, payload)
		}
		if err := c.conn.Close(); err != nil {
			t.Error(err)
		}
		wantNoBytes(t, client, "a claim")
	case bad != nil:
		wantLine(t, client, refusalOf(bad))
	case said.Session != "":
		wantLine(t, client, "-bad-option option \"session\": it is for further connections of multiplex")
	case said.Port != 0 && (said.Port < firstFuzzed || said.Port > lastFuzzed):
		wantLine(t, client, fmt.Sprintf("-forbidden you may not ask for port %d: it is none of %d-%d", said.Port, firstFuzzed, lastFuzzed))
	default:
		tunnel := next(t, "registration", f.fake.tunnels)
		f.hold(said, tunnel.port)
		if got, err := io.ReadAll(tunnel.conn); !bytes.Equal(got, payload) || err != nil {
			t.Errorf("after a registration the payload is %q, %v; want %q", got, err, payload)
		}
		tunnel.end()
		wantClosed(t, "closing the tunnel", tunnel.closed)
		lease := ""
		if said.Lease != "" {
			lease = "+lease 0\n"
		}
		if said.Port != 0 && tunnel.port != said.Port {
			t.Errorf("got port %d, want %d", tunnel.port, said.Port)
		}
		wantLine(t, client, lease+strconv.Itoa(tunnel.port))
	}
}

// refusalOf is how a preamble is refused that cannot be.
func refusalOf(bad error) string {
	var unknown *wire.UnknownOptionError
	if errors.As(bad, &unknown) {
		return "-unknown-option " + unknown.Text
	}
	return "-bad-option " + bad.Error()
}

// next gives what the protocol has to be handed.
func next[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("no %s arrives", what)
	}
	return v
}

// wantLine expects this line, and the end of the connection.
func wantLine(t *testing.T, conn io.Reader, want string) {
	t.Helper()
	got, err := io.ReadAll(conn)
	if string(got) != want+"\n" && !lost(got, err) || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %q, %v; want the line %q and the end", got, err, want)
	}
}

// lost reports whether the answer may have been on its way when the relay closed
// the connection over what it had not read, which is a reset.
func lost(got []byte, err error) bool { return len(got) == 0 && errors.Is(err, syscall.ECONNRESET) }
