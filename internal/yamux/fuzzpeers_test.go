package yamux_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed96252745/relay/internal/yamux"
)

// FuzzPeers takes the walk of TestStateMachine over a connection that is cut into pieces
// anywhere, not
// only between frames. The fuzzer chooses both.
func FuzzPeers(f *testing.F) {
	f.Add([]byte{})
	peers := rapid.MakeFuzz(func(rt *rapid.T) {
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(1, 20), rapid.IntRange(1, 100_000)), 1, 8)
		cuts := [2][]int{sizes.Draw(rt, "near"), sizes.Draw(rt, "far")}
		rapid.SyncTest(rt, func(rt *rapid.T) {
			near, far := memoryPair()
			walk(rt, &slicer{Conn: near, sizes: cuts[0]}, &slicer{Conn: far, sizes: cuts[1]})
		})
	})
	// Without them rapid skips an input that ends before the walk does. Zeros
	// choose the least of everything, and to walk no further.
	zeros := make([]byte, 1024)
	f.Fuzz(func(t *testing.T, in []byte) { peers(t, slices.Concat(in, zeros)) })
}

// slicer is a connection that returns a few bytes from each read.
type slicer struct {
	yamux.Conn
	sizes []int // in turn, again and again
	next  int   // only the session's reader reads
}

func (s *slicer) Read(b []byte) (int, error) {
	size := s.sizes[s.next%len(s.sizes)]
	s.next++
	return s.Conn.Read(b[:min(size, len(b))])
}
