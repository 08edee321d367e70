package yamux_test

import (
	"errors"
	"io"
	"syscall"
	"testing"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/yamux"
)

// TryRead returns what is there, or that nothing is.
func TestTryRead(t *testing.T) {
	opened, accepted := streams(t)
	buf := make([]byte, 10)
	if n, err := accepted.TryRead(buf); n != 0 || !errors.Is(err, syscall.EAGAIN) {
		t.Fatalf("before anything came: %d, %v", n, err)
	}
	conntest.Write(t, opened, "hello")
	check(t, opened.CloseWrite())
	accepted.WaitReadable()
	if n, err := accepted.TryRead(buf[:2]); string(buf[:n]) != "he" || err != nil {
		t.Errorf("got %q, %v", buf[:n], err)
	}
	conntest.WantRead(t, accepted, "llo")
	accepted.WaitReadable()
	if _, err := accepted.TryRead(buf); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// TryWrite sends a few bytes at once and in order, and none if the peer's window is too
// small for all.
func TestTryWrite(t *testing.T) {
	opened, accepted := streams(t)
	if !opened.TryWrite([]byte("first ")) {
		t.Fatal("a few bytes would have to wait")
	}
	conntest.Write(t, opened, "second")
	conntest.WantRead(t, accepted, "first second")

	const window = 256 << 10
	conntest.Write(t, opened, make([]byte, window-12-3)) // nobody reads, and the window does not open
	if opened.TryWrite([]byte("four")) {
		t.Error("four bytes went where there was room for three")
	}
	if !opened.TryWrite([]byte("for")) {
		t.Error("three bytes did not go")
	}
	if opened.TryWrite([]byte("x")) {
		t.Error("a byte went where there was no room")
	}
	conntest.WantRead(t, accepted, append(make([]byte, window-12-3), "for"...))
	check(t, opened.CloseWrite())
	if opened.TryWrite([]byte("x")) {
		t.Error("a byte went after the end")
	}
}

// The peer hears of a stream from TryOpen with its first bytes, in one packet, or by
// Flush.
func TestTryOpenSendsSYNWithData(t *testing.T) {
	session, peer := newPeer(t, yamux.Client, yamux.Config{})
	first, second := session.TryOpen(), session.TryOpen()
	if first == nil || second == nil {
		t.Fatal("no stream can be opened")
	}
	if !second.TryWrite([]byte("hello")) {
		t.Fatal("a few bytes would have to wait")
	}
	peer.want(update(1, flagSYN, 0))
	peer.want(update(3, flagSYN, 0))
	peer.want(data(3, 0, "hello"))
	third := session.TryOpen()
	third.Flush()
	peer.want(update(5, flagSYN, 0))
	fourth := session.TryOpen() // and is reset again
	check(t, fourth.Reset())
	peer.want(update(7, flagSYN, 0))
	peer.want(update(7, flagRST, 0))
}
