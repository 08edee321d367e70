package yamux_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/yamux"
)

// stalled returns a session whose connection is blocked in a write, and two streams,
// which the peer knows as 3 and 5.
func stalled(t *testing.T) (*yamux.Session, peer, *yamux.Stream, *yamux.Stream) {
	near, far := memoryPair()
	session, peer := newPeerOn(t, yamux.Client(near, yamux.Config{}), far)
	first, a, b := peer.open(session, 1), peer.open(session, 3), peer.open(session, 5)
	for _, st := range []*yamux.Stream{a, b} {
		check(t, st.SetDeadline(time.Time{}))
	}
	writing := async(func() error { _, err := first.Write([]byte("first")); return err })
	t.Cleanup(func() { session.Close(); <-writing })
	synctest.Wait()
	return session, peer, a, b
}

// A frame that waits for the connection is canceled when its stream or deadline ends,
// and then takes nothing of the window.
func TestQueuedWriteEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(*yamux.Session, peer, *yamux.Stream)
		err  error
		then []frame // what the peer receives of the stream
	}{
		"Close":    {func(_ *yamux.Session, _ peer, st *yamux.Stream) { st.Close() }, net.ErrClosed, []frame{update(3, flagFIN, 0)}},
		"Reset":    {func(_ *yamux.Session, _ peer, st *yamux.Stream) { st.Reset() }, net.ErrClosed, []frame{update(3, flagRST, 0)}},
		"deadline": {func(_ *yamux.Session, _ peer, st *yamux.Stream) { st.SetWriteDeadline(time.Now()) }, os.ErrDeadlineExceeded, nil},
		"RST":      {func(_ *yamux.Session, p peer, _ *yamux.Stream) { p.send(update(3, flagRST, 0)) }, yamux.ErrReset, nil},
		"the end":  {func(s *yamux.Session, _ peer, _ *yamux.Stream) { s.Close() }, yamux.ErrSessionEnded, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				session, peer, st, other := stalled(t)
				sent := pattern(20, 0, window)
				n := 0
				writing := async(func() (err error) { n, err = st.Write(make([]byte, window)); return err })
				synctest.Wait()
				behind := async(func() error { _, err := other.Write(sent[:20_000]); return err })
				synctest.Wait()
				tt.end(session, peer, st)
				if err := <-writing; !errors.Is(err, tt.err) || n != 0 {
					t.Errorf("Write returns %d, %v; want 0, %v", n, err, tt.err)
				}
				if tt.err == yamux.ErrSessionEnded {
					wantSessionErr(t, "another Write", <-behind)
					return
				}
				peer.want(data(1, 0, "first"))
				// The frame of the other stream is not canceled with it. Streams have
				// no order between them.
				then := append(tt.then, data(5, 0, string(sent[:20_000])))
				for range then {
					f, err := peer.receive()
					check(t, err)
					at := slices.Index(then, f)
					if at < 0 {
						t.Fatalf("got frame %v, want one of %v", f, then)
					}
					then = slices.Delete(slices.Clone(then), at, at+1)
				}
				check(t, <-behind)
				if tt.err != os.ErrDeadlineExceeded {
					return
				}
				check(t, st.SetWriteDeadline(time.Time{}))
				writing = async(func() error { _, err := st.Write(sent); return err })
				var got []byte
				for len(got) < window {
					f, err := peer.receive()
					check(t, err)
					got = append(got, f.body...)
				}
				check(t, <-writing)
				if !bytes.Equal(got, sent) {
					t.Error("other bytes came than were sent")
				}
			})
		})
	}
}

// The buffer of a Write belongs to the caller again when Write returns, and not
// earlier: nothing that ends a stream may have its bytes sent after that.
func TestWriteReturnsItsBuffer(t *testing.T) {
	for name, end := range map[string]func(*yamux.Stream){
		"Close":    func(st *yamux.Stream) { st.Close() },
		"Reset":    func(st *yamux.Stream) { st.Reset() },
		"deadline": func(st *yamux.Stream) { st.SetWriteDeadline(time.Now()) },
	} {
		for size, n := range map[string]int{"small": 1000, "large": 20_000} {
			t.Run(name+" "+size, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					_, peer, st, _ := stalled(t)
					sent := pattern(21, 0, n)
					b := bytes.Clone(sent)
					writing := async(func() error { _, err := st.Write(b); clear(b); return err })
					peer.want(data(1, 0, "first"))
					header := make([]byte, 12)
					_, err := io.ReadFull(peer.conn, header)
					check(t, err)
					synctest.Wait() // the frame is being written
					ending := async(func() error { end(st); return nil })
					for range 1000 { // until that has taken effect; Close may wait for Write
						runtime.Gosched()
					}
					got := make([]byte, n)
					_, err = io.ReadFull(peer.conn, got)
					check(t, err)
					if !bytes.Equal(got, sent) {
						t.Error("other bytes came than were sent")
					}
					go func() { _, _ = io.Copy(io.Discard, peer.conn) }()
					<-ending
					<-writing
				})
			})
		}
	}
}

// Small writes do not wait for a blocked connection, until there are too many.
func TestSmallWritesAreCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, st, other := stalled(t)
		written := 0
		writing := async(func() error {
			for range 1000 {
				if _, err := st.Write(make([]byte, 1000)); err != nil {
					return err
				}
				written += 1000
			}
			return nil
		})
		synctest.Wait()
		if written < 1000 || written > window {
			t.Errorf("%d bytes were taken by a connection that takes nothing", written)
		}
		check(t, st.SetWriteDeadline(time.Now()))
		if err := <-writing; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want %v", err, os.ErrDeadlineExceeded)
		}
		check(t, other.SetWriteDeadline(time.Now().Add(time.Second)))
		if n, err := other.Write(make([]byte, 1000)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a Write of another stream returns %d, %v; want %v", n, err, os.ErrDeadlineExceeded)
		}
	})
}

// A canceled frame does not make the window larger than the limit, when the peer has
// filled it meanwhile.
func TestQueuedWriteEndsAtLargestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session, peer, st, _ := stalled(t)
		writing := async(func() error { _, err := st.Write(make([]byte, 20_000)); return err })
		synctest.Wait()
		peer.send(update(3, 0, 1<<31-1-window+20_000))
		synctest.Wait()
		check(t, st.SetWriteDeadline(time.Now()))
		if err := <-writing; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write returns %v, want %v", err, os.ErrDeadlineExceeded)
		}
		peer.send(update(3, 0, 1<<31))
		<-session.Done()
		if err := session.Err(); !errors.Is(err, yamux.ErrProtocol) {
			t.Errorf("the session has ended with %v, want %v", err, yamux.ErrProtocol)
		}
	})
}
