package yamux_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/seed96252745/relay/internal/yamux"
)

// counted holds Counters as plain numbers, so that they can be compared.
type counted struct{ flooded, broken, silent, refused, waited, shed, strays int64 }

func count(c *yamux.Counters) counted {
	return counted{
		c.Flooded.Load(), c.Broken.Load(), c.Silent.Load(), c.Refused.Load(), c.Waited.Load(),
		c.ShedBySession.Load() + c.ShedByBudget.Load(), c.Strays.Load(),
	}
}

// Events at a limit are counted under one name, for all sessions together.
// Ordinary ends of sessions are not counted.
func TestCounters(t *testing.T) {
	for name, tt := range map[string]struct {
		do   func(*yamux.Session, peer)
		want counted
	}{
		"closed":  {func(s *yamux.Session, _ peer) { s.Close() }, counted{}},
		"reset":   {func(_ *yamux.Session, p peer) { p.conn.Reset() }, counted{}},
		"GO_AWAY": {func(_ *yamux.Session, p peer) { p.send(protocolError) }, counted{}},
		"broken":  {func(_ *yamux.Session, p peer) { p.send(frame{kind: 9}) }, counted{broken: 1}},
		"silent":  {func(s *yamux.Session, p peer) { p.want(frame{typePing, flagSYN, 0, 0, ""}); <-s.Done() }, counted{silent: 1}},
		"too many strays": {func(_ *yamux.Session, p peer) {
			for id := uint32(2); id < 8; id += 2 {
				p.send(update(id, flagSYN, 0))
				p.want(update(id, flagRST, 0))
			}
			p.send(update(8, flagSYN, 0))
		}, counted{flooded: 1, strays: 4}},
		"too many streams": {func(s *yamux.Session, p peer) {
			p.open(s, 1)
			p.open(s, 3)
			if st := s.TryOpen(); st != nil { // the caller tries again
				t.Error("a third stream was opened")
			}
			if _, err := s.Open(p.Context()); !errors.Is(err, yamux.ErrTooManyStreams) {
				t.Errorf("Open returns %v, want %v", err, yamux.ErrTooManyStreams)
			}
			s.Close()
		}, counted{refused: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := memoryPair()
				var counters yamux.Counters
				session, peer := newPeerOn(t, yamux.Client(near, yamux.Config{MaxStreams: 2, MaxStrays: 3, Counters: &counters}), far)
				tt.do(session, peer)
				_ = far.Close()
				<-session.Done()
				if got := count(&counters); got != tt.want {
					t.Errorf("got %+v, want %+v", got, tt.want)
				}
			})
		})
	}
}
