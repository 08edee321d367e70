package yamux_test

import (
	"io"
	"math"
	"runtime"
	"testing"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/yamux"
)

// held returns a session with a shared budget, and streams on which the peer has sent
// these numbers of bytes.
func held(t *testing.T, limit int64, sizes ...int) (*yamux.Session, peer, *yamux.Budget, []*yamux.Stream) {
	t.Helper()
	budget := yamux.NewBudget(limit)
	session, peer := newPeer(t, yamux.Server, yamux.Config{Accept: true, Budget: budget})
	var streams []*yamux.Stream
	for i := range sizes {
		streams = append(streams, peer.accept(session, uint32(2*i+1)))
	}
	for i, n := range sizes {
		peer.send(data(uint32(2*i+1), 0, string(pattern(byte(i), 0, n))))
	}
	return session, peer, budget, streams
}

// Bytes held for slow readers are counted until they are read, or anything else ends
// their stream.
func TestBudgetIsGivenBack(t *testing.T) {
	for name, tt := range map[string]struct {
		end func(*yamux.Session, peer, *yamux.Stream)
		err error // what is read after the held bytes
	}{
		"read":    {func(*yamux.Session, peer, *yamux.Stream) {}, nil},
		"Close":   {func(_ *yamux.Session, _ peer, st *yamux.Stream) { st.Close() }, nil},
		"Reset":   {func(_ *yamux.Session, _ peer, st *yamux.Stream) { st.Reset() }, nil},
		"FIN":     {func(_ *yamux.Session, p peer, _ *yamux.Stream) { p.send(update(1, flagFIN, 0)) }, io.EOF},
		"RST":     {func(_ *yamux.Session, p peer, _ *yamux.Stream) { p.send(update(1, flagRST, 0)) }, yamux.ErrReset},
		"the end": {func(s *yamux.Session, _ peer, _ *yamux.Stream) { s.Close() }, yamux.ErrSessionEnded},
		"the peer's end": {func(s *yamux.Session, p peer, _ *yamux.Stream) {
			_ = p.conn.Reset()
			<-s.Done()
		}, yamux.ErrSessionEnded},
	} {
		for _, closes := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				session, peer, budget, streams := held(t, 1<<20, 100_000)
				peer.sync()
				if n := budget.Used(); n != 100_000 {
					t.Errorf("%d bytes are counted, want 100000", n)
				}
				tt.end(session, peer, streams[0])
				switch {
				case tt.err == nil && name != "read":
				case closes:
					check(t, streams[0].Close())
				default:
					conntest.WantRead(t, streams[0], pattern(0, 0, 100_000))
				}
				if tt.err != nil && !closes {
					wantReadErr(t, streams[0], tt.err)
				}
				if n := budget.Used(); n != 0 {
					t.Errorf("%d bytes are still counted", n)
				}
			})
		}
	}
}

// Many unread streams hold no more than the limit and one frame. The streams that hold
// most are reset, and the others live.
func TestBudgetSheds(t *testing.T) {
	const count, limit, largest = 64, 1 << 20, 8 << 10
	for name, config := range map[string]yamux.Config{
		"the session's": {Accept: true, MaxBuffered: limit, Budget: yamux.NewBudget(1 << 40)},
		"a shared one":  {Accept: true, Budget: yamux.NewBudget(limit)},
	} {
		config.ControlBurst = 1 << 20 // for the pings of sync
		config.Counters = new(yamux.Counters)
		t.Run(name, func(t *testing.T) {
			session, peer := newPeer(t, yamux.Server, config)
			var streams []*yamux.Stream
			for i := range uint32(count) {
				streams = append(streams, peer.accept(session, 2*i+1))
			}
			sent, reset := make([]int, count), make([]bool, count)
			for round := range 16 {
				for i := range uint32(count) {
					if reset[i] {
						continue
					}
					n := 1000 + int(i)*100 // later streams get more
					sent[i] += n
					peer.send(data(2*i+1, 0, string(make([]byte, n))))
					most := 0
					for j := range count {
						if !reset[j] {
							most = max(most, sent[j])
						}
					}
					for _, f := range peer.sync() {
						if f.flags != flagRST {
							t.Fatalf("got frame %v", f)
						}
						if shed := f.stream / 2; sent[shed] != most {
							t.Errorf("round %d: stream %d is reset, which holds %d bytes, where another holds %d", round, f.stream, sent[shed], most)
						}
						reset[f.stream/2] = true
					}
					if n := config.Budget.Used(); n > limit+largest {
						t.Fatalf("%d bytes are held, where %d may be", n, limit)
					}
				}
			}
			gone := 0
			for i, st := range streams {
				if reset[i] {
					gone++
					wantReadErr(t, st, yamux.ErrOverBudget)
					wantWriteErr(t, st, yamux.ErrOverBudget)
					continue
				}
				conntest.WantRead(t, st, make([]byte, sent[i]))
				conntest.Write(t, st, "x")
			}
			if gone == 0 || gone == count {
				t.Errorf("%d of %d streams were reset", gone, count)
			}
			counted := &config.Counters.ShedBySession
			if name == "a shared one" {
				counted = &config.Counters.ShedByBudget
			}
			if n := counted.Load(); n != int64(gone) {
				t.Errorf("%d streams were counted, and %d reset", n, gone)
			}
			if n := config.Budget.Used(); n != 0 {
				t.Errorf("%d bytes are still counted", n)
			}
			if session.Err() != nil {
				t.Errorf("the session has ended: %v", session.Err())
			}
		})
	}
}

// A reader that keeps up is not reset, however much goes through.
func TestBudgetOfPromptReader(t *testing.T) {
	budget := yamux.NewBudget(16 << 20) // several windows
	near, far := tcpPair(t)
	client, server := yamux.Client(near, yamux.Config{}), yamux.Server(far, yamux.Config{Accept: true, Budget: budget})
	t.Cleanup(func() { client.Close(); server.Close() })
	a, b := open(t, client, server)
	writing := async(func() error {
		if _, err := a.Write(make([]byte, 64<<20)); err != nil {
			return err
		}
		return a.CloseWrite()
	})
	n, err := io.Copy(io.Discard, b)
	if n != 64<<20 || err != nil {
		t.Errorf("%d bytes were read: %v", n, err)
	}
	check(t, wait(t, writing, "the end"))
	if n := budget.Used(); n != 0 {
		t.Errorf("%d bytes are still counted", n)
	}
}

func TestBudgetCountsSessions(t *testing.T) {
	session, _, budget, _ := held(t, 1<<20)
	if n, limit := budget.Sessions(), budget.Limit(); n != 1 || limit != 1<<20 {
		t.Errorf("%d sessions share %d bytes, want 1 and %d", n, limit, 1<<20)
	}
	session.Close()
	for budget.Sessions() != 0 {
		runtime.Gosched() // it is struck out a moment after it has ended
	}
	var none *yamux.Budget
	if n, limit := none.Sessions(), none.Limit(); n != 0 || limit != math.MaxInt64 {
		t.Errorf("no budget has %d sessions and %d bytes", n, limit)
	}
}
