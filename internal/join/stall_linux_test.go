package join_test

import (
	"context"
	"io"
	"testing"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/yamux"
)

// A join whose stream's window was used up counts until its peer has read all, and not while
// it rests after that.
func TestRestingJoinIsNotStalled(t *testing.T) {
	engine := engineOf(t, 1)
	client, server := sessions(t, yamux.Config{})
	stream, peer := openStream(t, client, server)
	socket, local := conntest.Pair(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	result := make(chan join.Result, 1)
	engine.NewSet(nil).Join(ctx, stream, socket, join.Options{}, func(r join.Result) { result <- r })
	t.Cleanup(func() { cancel(nil); await(t, result) })
	const window = 256 << 10 // the last read finds as much as it asks for
	conntest.Write(t, local, string(pattern(window)))
	wantStalled(t, engine, 1)
	if _, err := io.CopyN(io.Discard, peer, window); err != nil {
		t.Fatal(err)
	}
	wantStalled(t, engine, 0)
}

// A receiver that is slower than its sender does not count, until it takes nothing.
func TestSlowIsNotStalled(t *testing.T) {
	engine := engineOf(t, 1)
	engine.CheckByHand()
	s := &stalled{rig: newRig(t)}
	const buffer, portion = 64 << 10, 1 << 20
	if err := s.far[join.B].SetReadBuffer(buffer); err != nil {
		t.Fatal(err)
	}
	engine.NewSet(nil).Join(s.ctx, s.near[join.A], s.near[join.B], join.Options{}, func(r join.Result) { s.result <- r })
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.Copy(s.far[join.A], zeros{})
	}()
	for i := range 3 * join.StallChecks {
		if _, err := io.CopyN(io.Discard, s.far[join.B], portion); err != nil {
			t.Fatal(err)
		}
		engine.CheckWaiting()
		if n, _ := engine.Stalled(); i > 0 && n != 0 { // a join that is new has to be seen moving
			t.Fatal("a direction that moves counts as stalled")
		}
	}
	for n := int64(0); n == 0; n, _ = engine.Stalled() { // its sender may take its time to fill all buffers
		engine.CheckWaiting()
	}
	s.cancel(nil)
	await(t, s.result)
	<-sent
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// Users who come at once are no crowd, as long as their bytes move.
func TestShortUsersAreNoCrowd(t *testing.T) {
	engine := engineOf(t, 1)
	_, most := engine.Stalled()
	for range 8 * most {
		r := newRig(t)
		engine.NewSet(nil).Join(r.ctx, r.near[join.A], r.near[join.B], join.Options{}, func(result join.Result) { r.result <- result })
		conntest.Write(t, r.far[join.A], "hi")
		conntest.Read(t, r.far[join.B], len("hi"))
		for _, far := range []*transport.Conn{r.far[join.A], r.far[join.B]} {
			if err := far.CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}
		r.wait()
	}
	if bounded(t, engine) {
		t.Error("the segments of a new connection are bounded though nobody is stalled")
	}
}
