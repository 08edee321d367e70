package yamux_test

import (
	"io"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/yamux"
)

// A peer that reads what is sent to it, however slowly, is alive, though it answers
// late to a ping behind all that. The test watches it for longer than a silent peer may
// live.
func TestPeerIsSlow(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 40 seconds")
	}
	near, far := tcpPair(t)
	check(t, near.SetWriteBuffer(64<<10))
	check(t, far.SetReadBuffer(16<<10))
	check(t, far.SetDeadline(time.Time{}))
	session, peer := newPeerOn(t, yamux.Client(near, yamux.Config{}), far)
	st := openPlainly(t, peer, session, 1)
	peer.send(update(1, 0, 1<<30))
	go func() {
		for err := error(nil); err == nil; {
			_, err = st.Write(make([]byte, 16<<10))
		}
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < 40*time.Second; <-tick.C {
		if _, err := io.CopyN(io.Discard, far, 2<<10); err != nil {
			t.Fatalf("after %v: %v; the session: %v", time.Since(began), err, session.Err())
		}
	}
	if err := session.Err(); err != nil {
		t.Errorf("the session has ended: %v", err)
	}
}
