package yamux_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/yamux"
)

func TestErrResetIsAReset(t *testing.T) {
	err := fmt.Errorf("as callers see it: %w", yamux.ErrReset)
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v is no %v", err, syscall.ECONNRESET)
	}
}

// A reset is a failure of both directions, and comes after what was sent.
func TestReset(t *testing.T) {
	for name, swap := range map[string]bool{"by who opened": false, "by who accepted": true} {
		for when, n := range map[string]int{"at once": 0, "behind a little": 5, "behind a window": window} {
			t.Run(name+" "+when, func(t *testing.T) {
				a, b := streams(t)
				if swap {
					a, b = b, a
				}
				sent := pattern(4, 0, n)
				if n > 0 {
					conntest.Write(t, a, sent)
				}
				check(t, a.Reset())
				conntest.WantRead(t, b, sent)
				wantReadErr(t, b, yamux.ErrReset)
				wantWriteErr(t, b, syscall.ECONNRESET)
				if err := b.CloseWrite(); !errors.Is(err, yamux.ErrReset) {
					t.Errorf("CloseWrite returns %v, want %v", err, yamux.ErrReset)
				}
				check(t, b.Close()) // as a socket can
			})
		}
	}
}

// A reset by the peer ends a blocked Read and Write.
func TestResetDuringReadAndWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memoryStreams(t)
		reading := async(func() error { _, err := b.Read(make([]byte, 1)); return err })
		writing := async(func() error { _, err := b.Write(make([]byte, 2*window)); return err })
		synctest.Wait()
		check(t, a.Reset())
		for _, c := range []<-chan error{reading, writing} {
			if err := <-c; !errors.Is(err, yamux.ErrReset) {
				t.Errorf("got %v, want %v", err, yamux.ErrReset)
			}
		}
	})
}

// After the peer's FIN its data is complete: a reset after it changes nothing for the
// reader. It does for the writer.
func TestResetAfterFIN(t *testing.T) {
	a, b := streams(t)
	conntest.Write(t, a, "all")
	check(t, a.CloseWrite())
	check(t, a.Reset())
	conntest.WantRead(t, b, "all")
	wantReadErr(t, b, io.EOF)
	wantWriteErr(t, b, yamux.ErrReset)
}

// After both FINs a reset has no effect.
func TestResetAfterBothFINs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memoryStreams(t)
		conntest.Write(t, a, "all")
		check(t, a.CloseWrite())
		check(t, b.CloseWrite())
		synctest.Wait()
		check(t, a.Reset())
		synctest.Wait()
		conntest.WantRead(t, b, "all")
		wantReadErr(t, b, io.EOF)
		if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("Write returns %v, want %v", err, syscall.EPIPE)
		}
		check(t, b.Close())
	})
}

// As on TCP: bytes that nobody will read must not look delivered.
func TestCloseWithUnreadData(t *testing.T) {
	for name, fin := range map[string]bool{"open": false, "after the peer's FIN": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := memoryStreams(t)
				conntest.Write(t, b, "a word that nobody reads")
				if fin {
					check(t, b.CloseWrite())
				}
				conntest.WantRead(t, a, "a word")
				synctest.Wait()
				check(t, a.Close())
				synctest.Wait()
				wantReadErr(t, b, yamux.ErrReset)
				if !fin {
					wantWriteErr(t, b, yamux.ErrReset)
				}
			})
		})
	}
}

// As on TCP: what comes after Close is refused, but what came before it counts.
func TestPeerSendsAfterClose(t *testing.T) {
	for name, over := range map[string]func(testing.TB) (a, b *yamux.Stream){
		"client closes": streams,
		"server closes": func(t testing.TB) (a, b *yamux.Stream) { b, a = streams(t); return a, b },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := over(t)
			conntest.Write(t, b, "read")
			conntest.WantRead(t, a, "read")
			conntest.Write(t, a, "answer")
			check(t, a.Close())
			conntest.WantRead(t, b, "answer")
			wantReadErr(t, b, io.EOF)
			wantWriteErr(t, b, yamux.ErrReset)
			wantReadErr(t, b, io.EOF) // was complete before
		})
	}
}

// Frames for a closed stream do not affect others.
func TestDataForClosedStream(t *testing.T) {
	client, server := sessions(t)
	a1, b1 := open(t, client, server)
	a2, b2 := open(t, client, server)
	check(t, a1.Reset())
	wantReadErr(t, b1, yamux.ErrReset)
	conntest.Write(t, a2, "still here")
	conntest.WantRead(t, b2, "still here")
	conntest.Write(t, b2, "both ways")
	conntest.WantRead(t, a2, "both ways")
}

// Closing a stream ends its blocked Read and Write, and the peer is told.
func TestCloseDuringReadAndWrite(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(*yamux.Stream) error
		peer error
	}{
		"Close": {(*yamux.Stream).Close, io.EOF},
		"Reset": {(*yamux.Stream).Reset, yamux.ErrReset},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := memoryStreams(t)
				reading := async(func() error { _, err := a.Read(make([]byte, 1)); return err })
				writing := async(func() error { _, err := a.Write(pattern(5, 0, 2*window)); return err })
				synctest.Wait()
				check(t, tt.end(a))
				for _, c := range []<-chan error{reading, writing} {
					if err := <-c; !errors.Is(err, net.ErrClosed) {
						t.Errorf("got %v, want %v", err, net.ErrClosed)
					}
				}
				conntest.WantRead(t, b, pattern(5, 0, window))
				wantReadErr(t, b, tt.peer)
			})
		})
	}
}
