package transport_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/transport"
)

func addrPorts(text string) (addrs []netip.AddrPort) {
	for field := range strings.FieldsSeq(text) {
		addrs = append(addrs, netip.MustParseAddrPort(field))
	}
	return addrs
}

func TestInterleave(t *testing.T) {
	for given, want := range map[string]string{
		"":        "",
		"[::1]:1": "[::1]:1",
		"[::1]:1 [::2]:1 [::3]:1 1.1.1.1:1 2.2.2.2:1": "[::1]:1 1.1.1.1:1 [::2]:1 2.2.2.2:1 [::3]:1",
		"1.1.1.1:1 2.2.2.2:1 3.3.3.3:1 [::1]:1":       "1.1.1.1:1 [::1]:1 2.2.2.2:1 3.3.3.3:1",
	} {
		if got := transport.Interleave(addrPorts(given)); !slices.Equal(got, addrPorts(want)) {
			t.Errorf("%s: %v, want %s", given, got, want)
		}
	}
}

// How an address answers that does not accept after a while.
const silent, refused = time.Duration(-1), time.Duration(-2)

// An address that refuses is left at once, and one that is silent after a delay; it may still
// win, and what connects later is closed.
func TestRace(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answers []time.Duration // of each address
		winner  int             // or -1
		took    time.Duration
	}{
		{"the first", []time.Duration{0, 0}, 0, 0},
		{"one refuses", []time.Duration{refused, 0}, 1, 0},
		{"one is silent", []time.Duration{silent, 0}, 1, transport.AttemptDelay},
		{"several are silent", []time.Duration{silent, silent, refused, 0}, 3, 2 * transport.AttemptDelay},
		{"the first is slow, and wins", []time.Duration{300 * time.Millisecond, time.Second}, 0, 300 * time.Millisecond},
		{"both are slow, and the second wins", []time.Duration{time.Second, 100 * time.Millisecond}, 1, transport.AttemptDelay + 100*time.Millisecond},
		{"all refuse", []time.Duration{refused, refused, refused}, -1, 0},
		{"nobody answers", []time.Duration{silent, refused, silent}, -1, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testRace(t, tt.answers, tt.winner, tt.took) })
		})
	}
}

func testRace(t *testing.T, answers []time.Duration, winner int, took time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var addrs []netip.AddrPort
	for i := range answers {
		addrs = append(addrs, netip.AddrPortFrom(netip.IPv6Loopback(), uint16(i+1)))
	}
	near, far := conntest.Memory()
	defer far.Close()
	began := time.Now()
	c, err := transport.Race(ctx, addrs, func(ctx context.Context, addr netip.AddrPort) (conn.Conn, error) {
		after := answers[addr.Port()-1]
		switch after {
		case silent:
			<-ctx.Done()
			return nil, ctx.Err()
		case refused:
			return nil, syscall.ECONNREFUSED
		}
		select {
		case <-time.After(after):
		case <-ctx.Done(): // too late for a kernel that has connected by then
		}
		if int(addr.Port())-1 == winner {
			return near, nil
		}
		lost, _ := conntest.Memory()
		t.Cleanup(func() {
			if _, err := lost.Write([]byte("x")); err == nil {
				t.Error("a connection that came too late is open")
			}
		})
		return lost, nil
	})
	if winner < 0 {
		if c != nil || !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v and %v, want %v", c, err, syscall.ECONNREFUSED)
		}
	} else if c != conn.Conn(near) || err != nil {
		t.Errorf("got %v and %v, want the connection to address %d", c, err, winner+1)
	}
	if got := time.Since(began); got != took {
		t.Errorf("it took %v, want %v", got, took)
	}
}

func TestRaceWithoutAddress(t *testing.T) {
	if c, err := transport.Race(background, nil, nil); c != nil || err == nil {
		t.Errorf("got %v, %v", c, err)
	}
}
