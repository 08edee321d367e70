package yamux_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/seed96252745/relay/internal/yamux"
)

// A stream that is shed after its peer has sent FIN must not look complete.
func TestShedStreamIsNotComplete(t *testing.T) {
	session, peer := newPeer(t, yamux.Server, yamux.Config{Accept: true, MaxBuffered: 100_000})
	st := peer.accept(session, 1)
	peer.accept(session, 3)
	peer.send(data(1, 0, string(make([]byte, 80_000))), update(1, flagFIN, 0))
	peer.send(data(3, 0, string(make([]byte, 30_000))))
	peer.want(update(1, flagRST, 0))
	if b, err := io.ReadAll(st); !errors.Is(err, yamux.ErrOverBudget) {
		t.Errorf("read %d of 80000 bytes and then %v (nil is EOF), want %v", len(b), err, yamux.ErrOverBudget)
	}
}

// A stream may be shed while a frame comes. The rest of the frame is discarded: after
// the gap it would be wrong, and it must not count against others.
func TestShedWithinFrame(t *testing.T) {
	session, peer := newPeer(t, yamux.Server, yamux.Config{Accept: true, MaxBuffered: 100_000})
	st := peer.accept(session, 1)
	others := []*yamux.Stream{peer.accept(session, 3), peer.accept(session, 5)}
	peer.send(data(3, 0, "three"), data(5, 0, "five"))
	body := pattern(1, 0, 250_000)
	peer.send(data(1, 0, string(body)))
	peer.sync()
	got, err := io.ReadAll(st)
	if !errors.Is(err, yamux.ErrOverBudget) {
		t.Error(err)
	}
	if !bytes.Equal(got, body[:len(got)]) {
		t.Errorf("%d bytes were read, not the first of those sent", len(got))
	}
	for i, o := range others {
		if _, err := o.Read(make([]byte, 5)); err != nil {
			t.Errorf("other stream %d: %v", i, err)
		}
	}
}

// A FIN in the rest of the frame must not make the stream look complete.
func TestShedWithinLastFrame(t *testing.T) {
	session, peer := newPeer(t, yamux.Server, yamux.Config{Accept: true, MaxBuffered: 100_000})
	st := peer.accept(session, 1)
	peer.send(data(1, flagFIN, string(make([]byte, 250_000))))
	peer.want(update(1, flagRST, 0))
	peer.sync()
	if b, err := io.ReadAll(st); !errors.Is(err, yamux.ErrOverBudget) {
		t.Errorf("read %d of 250000 bytes and then %v (nil is EOF), want %v", len(b), err, yamux.ErrOverBudget)
	}
}

// Data sent before an end may be held for long. It is shed too, before that of streams
// that hold less.
func TestShedStreamThatHasEnded(t *testing.T) {
	session, peer := newPeer(t, yamux.Server, yamux.Config{Accept: true, MaxBuffered: 300_000})
	st := peer.accept(session, 1)
	other := peer.accept(session, 3)
	peer.send(data(1, 0, string(make([]byte, 250_000))), update(1, flagFIN, 0))
	check(t, st.CloseWrite())
	peer.send(data(3, 0, string(make([]byte, 60_000))))
	peer.sync()
	if _, err := io.ReadFull(other, make([]byte, 60_000)); err != nil {
		t.Errorf("the stream that holds 60000 bytes is given up, not the one with 250000: %v", err)
	}
}

// The budget of streams that nobody has accepted when the session ends.
func TestBudgetOfUnacceptedStream(t *testing.T) {
	budget := yamux.NewBudget(1 << 20)
	session, peer := newPeer(t, yamux.Server, yamux.Config{Accept: true, Budget: budget})
	peer.send(data(1, flagSYN, "hello"))
	peer.sync()
	session.Close()
	if n := budget.Used(); n != 0 {
		t.Errorf("%d bytes are held", n)
	}
}

// A modest session does not pay for another one, even if that one has ended and its
// stream is still unread.
func TestSharedBudgetShedsLargest(t *testing.T) {
	for name, ended := range map[string]bool{"of a session": false, "of one that has ended": true} {
		t.Run(name, func(t *testing.T) {
			budget := yamux.NewBudget(300_000)
			s1, p1 := newPeer(t, yamux.Server, yamux.Config{Accept: true, Budget: budget})
			s2, p2 := newPeer(t, yamux.Server, yamux.Config{Accept: true, Budget: budget})
			hog, small := p1.accept(s1, 1), p2.accept(s2, 1)
			p1.send(data(1, 0, string(make([]byte, 250_000))))
			p1.sync()
			if ended {
				s1.Close()
			}
			p2.send(data(1, 0, string(make([]byte, 60_000))))
			p2.sync()
			if _, err := io.ReadFull(small, make([]byte, 60_000)); err != nil {
				t.Error(err)
			}
			if _, err := io.ReadAll(hog); !errors.Is(err, yamux.ErrOverBudget) {
				t.Errorf("the stream that holds most: %v, want %v", err, yamux.ErrOverBudget)
			}
			if n := budget.Used(); n != 0 {
				t.Errorf("%d bytes are still counted", n)
			}
		})
	}
}

// A part of a budget has a bound of its own, and counts in the whole.
func TestPartOfBudget(t *testing.T) {
	for name, c := range map[string]struct{ whole, part int64 }{
		"the part is used up": {1 << 20, 300_000}, "the whole is used up": {300_000, 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			whole := yamux.NewBudget(c.whole)
			part := whole.Part(c.part)
			s1, p1 := newPeer(t, yamux.Server, yamux.Config{Accept: true, Budget: part})
			s2, p2 := newPeer(t, yamux.Server, yamux.Config{Accept: true, Budget: part})
			hog, small := p1.accept(s1, 1), p2.accept(s2, 1)
			p1.send(data(1, 0, string(make([]byte, 250_000))))
			p1.sync()
			if n := whole.Used(); n != 250_000 {
				t.Errorf("%d bytes count in the whole, want 250000", n)
			}
			p2.send(data(1, 0, string(make([]byte, 60_000))))
			p2.sync()
			if _, err := io.ReadFull(small, make([]byte, 60_000)); err != nil {
				t.Error(err)
			}
			if _, err := io.ReadAll(hog); !errors.Is(err, yamux.ErrOverBudget) {
				t.Errorf("the stream that holds most: %v, want %v", err, yamux.ErrOverBudget)
			}
			if n, of := part.Used(), whole.Used(); n != 0 || of != 0 {
				t.Errorf("%d bytes are still counted, and %d in the whole", n, of)
			}
		})
	}
}
