package yamux_test

import (
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/yamux"
)

// A Write returns when its session ends, even at the moment when the connection takes
// no more.
func TestWriteWhileSessionEnds(t *testing.T) {
	for round := range 200 {
		near, far := tcpPair(t)
		session, peer := newPeerOn(t, yamux.Client(near, yamux.Config{}), far)
		st := peer.open(session, 1)
		check(t, st.SetDeadline(time.Time{}))
		peer.send(update(1, 0, 1<<30))
		writing := async(func() error { pump(st); return nil })
		for range round % 50 { // vary how much it takes
			if _, err := far.Read(make([]byte, 64<<10)); err != nil {
				t.Fatal(err)
			}
		}
		session.Close()
		wait(t, writing, "the end of Write")
		_, _ = near.Reset(), far.Reset()
	}
}
