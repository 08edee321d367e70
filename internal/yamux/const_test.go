package yamux_test

import (
	"errors"
	"io"
	"testing"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/yamux"
)

// These values are what other implementations must agree on, from the specification.
// They can never change.
func TestConstants(t *testing.T) {
	for _, number := range []struct {
		name      string
		got, want int64
	}{
		{"version", yamux.Version, 0},
		{"header size", yamux.HeaderSize, 12},
		{"type data", int64(yamux.TypeData), 0},
		{"type window update", int64(yamux.TypeWindowUpdate), 1},
		{"type ping", int64(yamux.TypePing), 2},
		{"type GO_AWAY", int64(yamux.TypeGoAway), 3},
		{"flag SYN", int64(yamux.FlagSYN), 0x1},
		{"flag ACK", int64(yamux.FlagACK), 0x2},
		{"flag FIN", int64(yamux.FlagFIN), 0x4},
		{"flag RST", int64(yamux.FlagRST), 0x8},
		{"initial window", yamux.InitialWindow, 262144},
		{"GO_AWAY normal", yamux.GoAwayNormal, 0},
		{"GO_AWAY protocol error", yamux.GoAwayProtocol, 1},
	} {
		if number.got != number.want {
			t.Errorf("%s is %d, want %d", number.name, number.got, number.want)
		}
	}
}

func TestHeader(t *testing.T) {
	for _, tt := range []struct {
		header yamux.Header
		bytes  string
	}{
		{yamux.Header{Kind: 0, Flags: 0x4, Stream: 1, Length: 2}, "\x00\x00\x00\x04\x00\x00\x00\x01\x00\x00\x00\x02"},
		{yamux.Header{Kind: 1, Flags: 0x1, Stream: 0x01020304, Length: 0x05060708}, "\x00\x01\x00\x01\x01\x02\x03\x04\x05\x06\x07\x08"},
		{yamux.Header{Kind: 2, Flags: 0x2, Stream: 0, Length: 0xfffffffe}, "\x00\x02\x00\x02\x00\x00\x00\x00\xff\xff\xff\xfe"},
		{yamux.Header{Kind: 3, Flags: 0x0a0b, Stream: 0, Length: 1}, "\x00\x03\x0a\x0b\x00\x00\x00\x00\x00\x00\x00\x01"},
	} {
		if got := tt.header.AppendTo([]byte("before")); string(got) != "before"+tt.bytes {
			t.Errorf("%+v is %x, want it behind what was there: %x", tt.header, got, tt.bytes)
		}
		if got, err := yamux.ParseHeader([]byte(tt.bytes + "rest")); err != nil || got != tt.header {
			t.Errorf("%x is %+v, %v; want %+v", tt.bytes, got, err, tt.header)
		}
	}
}

func TestBadHeaders(t *testing.T) {
	for name, header := range map[string]string{
		"version":                   "\x01\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00",
		"type":                      "\x00\x04\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00",
		"type, far off":             "\x00\xff\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00",
		"data on stream 0":          "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"window update on stream 0": "\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00",
	} {
		if h, err := yamux.ParseHeader([]byte(header)); !errors.Is(err, yamux.ErrProtocol) {
			t.Errorf("%s: got %+v, %v; want %v", name, h, err, yamux.ErrProtocol)
		}
	}
}

// The frames of a stream, byte by byte.
func TestBytesOnTheWire(t *testing.T) {
	session, peer := newPeer(t, yamux.Client, accepting)
	want := func(doing, bytes string) {
		t.Helper()
		got := make([]byte, len(bytes))
		if _, err := io.ReadFull(peer.conn, got); err != nil || string(got) != bytes {
			t.Fatalf("%s sends %x, %v; want %x", doing, got, err, bytes)
		}
	}
	st, err := session.Open(t.Context())
	check(t, err)
	want("Open", "\x00\x01\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00")
	conntest.Write(t, st, "hi")
	want("Write", "\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x02hi")
	check(t, st.CloseWrite())
	want("CloseWrite", "\x00\x01\x00\x04\x00\x00\x00\x01\x00\x00\x00\x00")
	check(t, st.Reset())
	want("Reset", "\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00")

	peer.sendBytes([]byte("\x00\x01\x00\x01\x00\x00\x00\x02\x00\x00\x00\x00"))
	st, err = session.Accept(background)
	check(t, err)
	want("Accept", "\x00\x01\x00\x02\x00\x00\x00\x02\x00\x00\x00\x00")
	check(t, st.Close())
	want("Close", "\x00\x01\x00\x04\x00\x00\x00\x02\x00\x00\x00\x00")

	peer.sendBytes([]byte("\x00\x02\x00\x01\x00\x00\x00\x00\x12\x34\x56\x78"))
	want("a ping", "\x00\x02\x00\x02\x00\x00\x00\x00\x12\x34\x56\x78")
	for range 2 {
		session.GoAway() // sent once only
	}
	want("GoAway", "\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	peer.wantNothing()
}

// A window update is sent when half of the window is used up, and returns what was read
// until then.
func TestWindowUpdate(t *testing.T) {
	session, peer := newPeer(t, yamux.Client, yamux.Config{})
	st := peer.open(session, 1)
	const half = window / 2
	sent := pattern(0, 0, window)
	peer.send(data(1, 0, string(sent)))
	conntest.WantRead(t, st, sent[:half-1])
	peer.wantNothing()
	conntest.WantRead(t, st, sent[half-1:half])
	peer.want(update(1, 0, half))
	conntest.WantRead(t, st, sent[half:])
	peer.want(update(1, 0, half))
}
