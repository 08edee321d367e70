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

	"github.com/seed96252745/relay/internal/assemble"
	"github.com/seed96252745/relay/internal/limit"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/transport"
)

// lines is a log in which a test looks for a line.
type lines chan string

func (l lines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

// await gives the next line with this text.
func (l lines) await(t *testing.T, text string) string {
	t.Helper()
	for {
		if line := within(t, l, text); strings.Contains(line, text) {
			return line
		}
	}
}

// A relay client that acknowledges no stream is not too slow to come: it has 256
// users, and the log says what the next one has waited for.
func TestNotAcknowledged(t *testing.T) {
	log := make(lines, 1000) // more than there will be
	s, err := assemble.Relay(assemble.Config{
		Bind: "127.0.0.1", Ports: port.Range{First: 20000, Last: 29999},
		Limits: limit.Limits{UserWait: time.Second},
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	must(t, err)
	l, err := transport.ListenRelayClients("127.0.0.1:0")
	must(t, err)
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(l) }) // its error says only that it was closed
	t.Cleanup(func() { s.Close(); serving.Wait() })

	client := dial(t, l.Addr().String())
	_, err = io.WriteString(client, "multiplex\n")
	must(t, err)
	public := net.JoinHostPort("127.0.0.1", bareLine(t, client))
	for range 256 {
		dial(t, public)
	}
	for n := range uint32(256) {
		want := binary.BigEndian.AppendUint32([]byte{0, 1, 0, 1}, 2*n+1)
		var frame [12]byte
		if _, err := io.ReadFull(client, frame[:]); err != nil || !bytes.HasPrefix(frame[:], want) {
			t.Fatalf("got frame % x, %v; want a SYN of stream %d", frame, err, 2*n+1)
		}
	}
	late := dial(t, public)
	if _, err := late.Read(make([]byte, 1)); !isReset(err) {
		t.Errorf("a user without a stream gets %v, want a reset", err)
	}
	reset := log.await(t, "user reset")
	if !strings.Contains(reset, `reason="not acknowledged: `) {
		t.Errorf("the log says %q, want that it is not acknowledged", reset)
	}
	counters := s.State().Counters
	if waits, unacknowledged := counters.Of(limit.UserWaits), counters.Of(limit.NotAcknowledged); waits != 0 || unacknowledged != 1 {
		t.Errorf("%d waits and %d streams not acknowledged were counted, want 0 and 1", waits, unacknowledged)
	}
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
