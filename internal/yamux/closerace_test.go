package yamux_test

import (
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/yamux"
)

// A Write comes back when its session ends, also at the moment at which the
// connection takes no more.
func TestWriteWhileSessionEnds(t *testing.T) {
	for round := range 200 {
		near, far := tcpPair(t)
		session, peer := newPeerOn(t, yamux.Client(near, yamux.Config{}), far)
		st := peer.open(session, 1)
		check(t, st.SetDeadline(time.Time{}))
		peer.send(update(1, 0, 1<<30))
		writing := async(func() error { pump(st); return nil })
		for range round % 50 { // so that it takes some more
			if _, err := far.Read(make([]byte, 64<<10)); err != nil {
				t.Fatal(err)
			}
		}
		session.Close()
		wait(t, writing, "the end of Write")
		_, _ = near.Reset(), far.Reset()
	}
}
