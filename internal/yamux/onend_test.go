package yamux_test

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/yamux"
)

// However a stream ends, OnEnd is called once, on both sides, and not before.
func TestOnEnd(t *testing.T) {
	type side = *yamux.Stream
	for name, steps := range map[string][]func(a, b side, s *yamux.Session){
		"FIN and FIN": {
			func(a, _ side, _ *yamux.Session) { a.CloseWrite() },
			func(_, b side, _ *yamux.Session) { b.CloseWrite() },
		},
		"FIN and Close": {
			func(a, _ side, _ *yamux.Session) { a.CloseWrite() },
			func(_, b side, _ *yamux.Session) { b.Close() },
		},
		"Close and FIN": {
			func(a, _ side, _ *yamux.Session) { a.Close() },
			func(_, b side, _ *yamux.Session) { b.CloseWrite() },
		},
		"Close and more": {
			func(a, _ side, _ *yamux.Session) { a.Close() },
			func(_, b side, _ *yamux.Session) { b.Write([]byte("x")) },
		},
		"Close with unread data": {
			func(a, _ side, _ *yamux.Session) { a.Write([]byte("x")) },
			func(_, b side, _ *yamux.Session) { b.Close() },
		},
		"Close and time": {
			func(a, _ side, _ *yamux.Session) { a.Close() },
			func(side, side, *yamux.Session) { <-time.After(time.Minute) },
		},
		"Reset":             {func(a, _ side, _ *yamux.Session) { a.Reset() }},
		"Reset of accepted": {func(_, b side, _ *yamux.Session) { b.Reset() }},
		"Reset twice": {func(a, b side, _ *yamux.Session) {
			done := async(a.Reset)
			b.Reset()
			<-done
		}},
		"FIN and Reset": {
			func(a, _ side, _ *yamux.Session) { a.CloseWrite() },
			func(_, b side, _ *yamux.Session) { b.Reset() },
		},
		"the session ends": {func(_, _ side, s *yamux.Session) { s.Close() }},
		"FIN and the session ends": {
			func(a, _ side, _ *yamux.Session) { a.CloseWrite() },
			func(_, _ side, s *yamux.Session) { s.Close() },
		},
		"Close and the session ends": {
			func(a, _ side, _ *yamux.Session) { a.Close() },
			func(_, _ side, s *yamux.Session) { s.Close() },
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := memorySessions(t)
				a, b := open(t, client, server)
				var onA, onB counter
				a.OnEnd(onA.add)
				b.OnEnd(onB.add)
				for _, step := range steps {
					synctest.Wait()
					if onA.count()+onB.count() > 0 {
						t.Fatal("called before the end")
					}
					step(a, b, client)
				}
				synctest.Wait()
				// Nothing that follows calls it again.
				_, _, _, _ = a.Close(), b.Close(), a.Reset(), b.Reset()
				client.Close()
				server.Close()
				if onA.count() != 1 || onB.count() != 1 {
					t.Errorf("called %d and %d times, want once on each side", onA.count(), onB.count())
				}
				var late counter
				a.OnEnd(late.add)
				if late.count() != 1 {
					t.Errorf("set after the end: called %d times, want once, at once", late.count())
				}
			})
		})
	}
}

// OnEnd may be set while the stream ends, and is still called once.
func TestOnEndWhileEnding(t *testing.T) {
	client, server := sessions(t)
	for range 200 {
		a, b := open(t, client, server)
		called := make(chan struct{}, 2)
		done := async(b.Reset)
		a.OnEnd(func() { called <- struct{}{} })
		wait(t, called, "the call")
		check(t, <-done)
		_ = a.Close()
		if len(called) > 0 {
			t.Fatal("called twice")
		}
	}
}

// Ending the session in the last stream's OnEnd must not cut off that stream's FIN: the
// stream has not ended before its FIN is queued.
func TestOnEndFollowsFIN(t *testing.T) {
	for name, finish := range map[string]func(*yamux.Stream) error{
		"CloseWrite": (*yamux.Stream).CloseWrite, "Close": (*yamux.Stream).Close,
	} {
		t.Run(name, func(t *testing.T) {
			session, peer := newPeer(t, yamux.Client, yamux.Config{})
			st, other := peer.open(session, 1), peer.open(session, 3)
			var ended counter
			st.OnEnd(ended.add)

			release := session.HoldSender()
			finishing := async(func() error { return finish(st) })
			for range 10_000 { // until it waits to send
				if st.FinSent() {
					break
				}
				runtime.Gosched()
			}
			peer.send(update(1, flagFIN, 0), data(3, 0, "x"))
			conntest.WantRead(t, other, "x") // the FIN before it has been handled
			early := ended.count()
			release()
			check(t, <-finishing)
			if early > 0 {
				t.Error("called before the FIN could be sent")
			}
			peer.want(update(1, flagFIN, 0))
			peer.sync()
			if ended.count() != 1 {
				t.Errorf("called %d times, want once", ended.count())
			}
		})
	}
}
