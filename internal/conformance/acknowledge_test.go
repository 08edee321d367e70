package conformance_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/transport"
)

// lines is a log in which a test looks for a line.
type lines chan string

func (l lines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

// await returns the next line with this text.
func (l lines) await(t *testing.T, text string) string {
	t.Helper()
	for {
		if line := within(t, l, text); strings.Contains(line, text) {
			return line
		}
	}
}

// bareMultiplex is a relay, and a relay client of it that the test plays. Stop ends the
// relay, as the test does.
type bareMultiplex struct {
	*server.Server
	stop   func()
	client *net.TCPConn
	public string
	log    lines
}

func newBareMultiplex(t *testing.T) bareMultiplex {
	t.Helper()
	log := make(lines, 1000) // more than there will be
	s, err := node.Relay(node.Config{
		Bind: "127.0.0.1", Ports: port.Range{First: 20000, Last: 29999},
		Limits: admission.Limits{UserWait: time.Second},
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	must(t, err)
	l, err := transport.ListenRelayClients("127.0.0.1:0")
	must(t, err)
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(l) }) // its error says only that it was closed
	stop := func() { s.Close(); serving.Wait() }
	t.Cleanup(stop)
	client := dial(t, l.Addr().String())
	_, err = io.WriteString(client, "multiplex\n")
	must(t, err)
	return bareMultiplex{s, stop, client, net.JoinHostPort("127.0.0.1", bareLine(t, client)), log}
}

// users connects users, and expects a stream for each. Two that are opened at the same
// moment may be announced in either order.
func (m bareMultiplex) users(t *testing.T, n int) {
	t.Helper()
	for range n {
		dial(t, m.public)
	}
	opened := make(map[uint32]bool)
	for len(opened) < n {
		var frame [12]byte
		_, err := io.ReadFull(m.client, frame[:])
		id := binary.BigEndian.Uint32(frame[4:])
		if err != nil || !bytes.HasPrefix(frame[:], []byte{0, 1, 0, 1}) || opened[id] || id%2 == 0 || id > uint32(2*n) {
			t.Fatalf("got frame % x, %v after %d streams; want the SYN of another one", frame, err, len(opened))
		}
		opened[id] = true
	}
}

// A relay client that acknowledges no stream has 256 users. The log says what the next one
// has waited for, and not that the relay client is too slow.
func TestNotAcknowledged(t *testing.T) {
	m := newBareMultiplex(t)
	m.users(t, 256)
	late := dial(t, m.public)
	if _, err := late.Read(make([]byte, 1)); !isReset(err) {
		t.Errorf("a user without a stream gets %v, want a reset", err)
	}
	reset := m.log.await(t, "user reset")
	if !strings.Contains(reset, `reason=not_acknowledged`) {
		t.Errorf("the log says %q, want that it is not acknowledged", reset)
	}
	counters := m.State().Counters
	if waits, unacknowledged := counters.Of(admission.UserWaits), counters.Of(admission.NotAcknowledged); waits != 0 || unacknowledged != 1 {
		t.Errorf("%d waits and %d streams not acknowledged were counted, want 0 and 1", waits, unacknowledged)
	}
}

// Many libraries show the end of a session as the end of each stream. A relay that ends
// one under its users resets them first.
func TestRelayEndsUnderUsers(t *testing.T) {
	const users = 100
	m := newBareMultiplex(t)
	m.users(t, users)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.stop()
	}()
	reset := make(map[uint32]bool)
	for len(reset) < users {
		var frame [12]byte
		if _, err := io.ReadFull(m.client, frame[:]); err != nil || !bytes.HasPrefix(frame[:], []byte{0, 1, 0, 8}) {
			t.Fatalf("got frame % x, %v after %d resets; want those of %d streams", frame, err, len(reset), users)
		}
		reset[binary.BigEndian.Uint32(frame[4:])] = true
	}
	if n, err := m.client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("got %d bytes, %v; want the end", n, err)
	}
	_ = m.client.Close()
	within(t, ended, "the relay to end")
}

// bareLine reads byte by byte: what follows the line is not its own.
func bareLine(t *testing.T, from io.Reader) string {
	t.Helper()
	var line []byte
	for b := make([]byte, 1); ; line = append(line, b[0]) {
		if _, err := io.ReadFull(from, b); err != nil {
			t.Fatal(err)
		}
		if b[0] == '\n' {
			return string(line)
		}
	}
}
