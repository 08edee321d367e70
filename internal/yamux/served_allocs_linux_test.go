package yamux_test

import (
	"io"
	"testing"

	"github.com/seed96252745/relay/internal/yamux"
)

// A round trip of small frames allocates nothing on either side.
func TestServedAllocatesNothing(t *testing.T) {
	near, far := tcpPair(t)
	client, server := served(t, yamux.Client)(near, accepting), served(t, yamux.Server)(far, accepting)
	t.Cleanup(func() { client.Close(); server.Close() })
	a, b := openWithoutDeadlines(t, client, server)
	message := make([]byte, 64)
	once := func() {
		for _, way := range [][2]*yamux.Stream{{a, b}, {b, a}} {
			if !way[0].TryWrite(message) {
				t.Fatal("it does not write")
			}
			_, err := io.ReadFull(way[1], message)
			check(t, err)
		}
	}
	for range 100 {
		once()
	}
	// Under the race detector pools lose a part of what they are given back.
	if n := testing.AllocsPerRun(1000, once); n >= poolsLose {
		t.Errorf("a round trip allocates %v times", n)
	}
}
