package yamux_test

import (
	"errors"
	"io"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/yamux"
)

// pourHeld has st pour to a socket that takes a part of the first chunk, and then
// blocks the call. Release ends the call with an error, and waits for it.
func pourHeld(tb testing.TB, st *yamux.Stream) (release func()) {
	tb.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	check(tb, err)
	check(tb, unix.SetsockoptInt(fds[1], unix.SOL_SOCKET, unix.SO_SNDBUF, 0)) // the minimum
	limit := unix.NsecToTimeval(patience.Nanoseconds())
	check(tb, unix.SetsockoptTimeval(fds[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
	pouring := async(func() error { _, _, err := st.PourTo(fds[1]); return err })
	if n, err := unix.Read(fds[0], make([]byte, 1)); n != 1 || err != nil { // it is in the call now
		tb.Fatalf("read %d bytes: %v", n, err)
	}
	return func() {
		tb.Helper()
		check(tb, unix.Close(fds[0]))
		if err := wait(tb, pouring, "the end of PourTo"); err == nil {
			tb.Error("all was taken")
		}
		check(tb, unix.Close(fds[1]))
	}
}

// A stream that is shed during PourTo loses the bytes in progress too.
func TestShedWhilePoured(t *testing.T) {
	budget := yamux.NewBudget(1 << 40)
	session, peer := newPeer(t, yamux.Server, yamux.Config{Accept: true, MaxBuffered: 100_000, Budget: budget})
	st := peer.accept(session, 1)
	peer.send(data(1, 0, string(make([]byte, 16_000))))
	peer.sync()
	release := pourHeld(t, st)
	peer.send(data(1, 0, string(make([]byte, 120_000))))
	peer.want(update(1, flagRST, 0))
	release()
	if n := budget.Used(); n != 0 {
		t.Errorf("%d bytes are still counted", n)
	}
	wantReadErr(t, st, yamux.ErrOverBudget)
}

// A stream that ends during PourTo of its last bytes, to a socket that does not take
// them, can still be shed.
func TestShedWhilePouredAtTheEnd(t *testing.T) {
	session, peer := newPeer(t, yamux.Server, yamux.Config{Accept: true, MaxBuffered: 16_000})
	st, other := peer.accept(session, 1), peer.accept(session, 3)
	peer.send(data(1, 0, string(make([]byte, 16_000))))
	peer.sync()
	release := pourHeld(t, st)
	peer.send(update(1, flagRST, 0))
	peer.sync()
	release()
	peer.send(data(3, 0, string(make([]byte, 8_000))))
	peer.sync()
	if _, err := io.ReadFull(other, make([]byte, 8_000)); err != nil {
		t.Errorf("the stream that holds 8000 bytes is given up, not the one that holds more: %v", err)
	}
}

// A stream that is shed gives its pipes back, and is no longer counted.
func TestShedPipes(t *testing.T) {
	wantPipes(t)
	budget := yamux.NewBudget(3 * window)
	session, peer := newPeer(t, yamux.Server, yamux.Config{Accept: true, Budget: budget})
	before := freePipes()
	var ends []*attached
	for i := range uint32(3) {
		ends = append(ends, attach(t, peer.accept(session, 2*i+1)))
		peer.send(data(2*i+1, 0, string(make([]byte, window-int(i)))))
	}
	peer.sync()
	if freePipes() == before {
		t.Error("nothing came in pipes")
	}
	for len(ends[0].readable) > 0 {
		<-ends[0].readable
	}
	late := peer.accept(session, 7)
	peer.send(data(7, 0, "more"))
	peer.want(update(1, flagRST, 0))
	wait(t, ends[0].readable, "news of the end")
	if _, err, _ := ends[0].tryPour(); !errors.Is(err, yamux.ErrOverBudget) {
		t.Errorf("PourTo returns %v, want %v", err, yamux.ErrOverBudget)
	}
	conntest.WantRead(t, late, "more")
	if n := budget.Used(); n != 2*window-3 {
		t.Errorf("%d bytes are counted, want %d", n, 2*window-3)
	}
	for _, a := range ends {
		check(t, a.Reset())
	}
	if n := budget.Used(); n != 0 {
		t.Errorf("%d bytes are still counted", n)
	}
}
