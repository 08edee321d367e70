package protocoltest

import (
	"bytes"
	"context"
	"io"
	"regexp"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
)

// ClientFuzz fuzzes a client with a relay that sends anything.
type ClientFuzz struct {
	Client protocol.Client
	// MostDials is how many connections the relay takes in all.
	MostDials int
	// Check gets what the relay has sent on the first connection and read on the others,
	// and whether the registration was made. If it was, said is what came after the
	// line with the port. Refuses is whether the relay has reset the others without a byte.
	Check func(t *testing.T, said []byte, heard []string, registered, refuses bool)
}

// mostSaid and mostSegments bound what the relay sends, and in how many pieces on all
// connections but the first, so that one input is done soon: Go takes one of 10 s for one
// that hangs.
const mostSaid, mostSegments = 4096, 50

// Run has the client register and serve, in simulated time.
// It fails if the client panics or waits forever, or has an error that could do
// harm to a terminal.
func (c ClientFuzz) Run(f *testing.F, seeds ...string) {
	for _, seed := range seeds {
		for ends := range uint8(4) {
			f.Add([]byte(seed), []byte("hello"), uint16(ends), ends)
		}
	}
	f.Fuzz(func(t *testing.T, first, others []byte, segment uint16, ends uint8) {
		first, others = first[:min(len(first), mostSaid)], others[:min(len(others), mostSaid)]
		size := int(segment)
		if size > 0 { // on each of thousands of connections
			size = max(size, len(others)/mostSegments)
		}
		synctest.Test(t, func(t *testing.T) {
			relay := &HostileRelay{First: first, Others: others, Segment: size, Ends: ends, MostDials: c.MostDials}
			registered := c.serve(t, relay)
			said := first
			if registered {
				said = afterPort(first)
			}
			c.Check(t, said, relay.Wait(), registered, len(others) == 0 && relay.Resets())
		})
	})
}

// afterPort returns what comes after the options of an answer, each a line that
// begins with a plus, and the port.
func afterPort(answer []byte) []byte {
	for {
		line, rest, _ := bytes.Cut(answer, []byte("\n"))
		if !bytes.HasPrefix(line, []byte("+")) {
			return rest
		}
		answer = rest
	}
}

// serve registers and serves for an hour of simulated time. It reports whether the
// relay has made the registration.
func (c ClientFuzz) serve(t *testing.T, relay *HostileRelay) bool {
	registration, err := c.Client.Register(t.Context(), relay.Dial, protocol.Preamble{})
	if err != nil {
		wantPrintable(t, err)
		return false
	}
	if port := registration.Answer().Port; port < 1 || port > 65535 {
		t.Errorf("port %d", port)
	}
	local := new(localServer)
	served := make(chan error, 1)
	go func() { served <- registration.Serve(local.accepted) }()
	select {
	case err = <-served:
	case <-time.After(time.Hour):
		_ = registration.Close()
		err = <-served
	}
	wantPrintable(t, err)
	_ = registration.Close()
	local.conns.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	registration.Wait(ctx)
	return true
}

// printable has nothing that controls a terminal or breaks a line of a log.
var printable = regexp.MustCompile(`^[ -~]+$`)

func wantPrintable(t *testing.T, err error) {
	t.Helper()
	if err == nil || !printable.MatchString(err.Error()) {
		t.Errorf("the error is %q", err)
	}
}

// localServer is the server behind a forwarder. It reads for a second at most, and ends.
type localServer struct{ conns sync.WaitGroup }

func (l *localServer) accepted(_ context.Context, conn conn.Conn) {
	l.conns.Go(func() {
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		if _, err := io.Copy(io.Discard, conn); err != nil {
			_ = conn.Reset()
			return
		}
		_ = conn.Close()
	})
}
