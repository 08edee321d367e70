package yamux_test

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/yamux"
)

// WaitReadable waits for everything that Read waits for, and consumes nothing.
func TestWaitReadable(t *testing.T) {
	for name, tt := range map[string]struct {
		happens func(a, b *yamux.Stream, s *yamux.Session)
		err     error
	}{
		"data":            {func(_, b *yamux.Stream, _ *yamux.Session) { b.Write([]byte("x")) }, nil},
		"FIN":             {func(_, b *yamux.Stream, _ *yamux.Session) { b.CloseWrite() }, io.EOF},
		"RST":             {func(_, b *yamux.Stream, _ *yamux.Session) { b.Reset() }, yamux.ErrReset},
		"Close":           {func(a, _ *yamux.Stream, _ *yamux.Session) { a.Close() }, net.ErrClosed},
		"Reset":           {func(a, _ *yamux.Stream, _ *yamux.Session) { a.Reset() }, net.ErrClosed},
		"a deadline":      {func(a, _ *yamux.Stream, _ *yamux.Session) { a.SetReadDeadline(time.Now()) }, os.ErrDeadlineExceeded},
		"a later one":     {func(a, _ *yamux.Stream, _ *yamux.Session) { a.SetReadDeadline(time.Now().Add(time.Hour)) }, os.ErrDeadlineExceeded},
		"the session end": {func(_, _ *yamux.Stream, s *yamux.Session) { s.Close() }, yamux.ErrSessionEnded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := memorySessions(t)
				a, b := open(t, client, server)
				check(t, a.SetDeadline(time.Time{}))
				waiting := async(func() error { a.WaitReadable(); return nil })
				check(t, a.SetWriteDeadline(time.Now())) // the other direction
				synctest.Wait()
				if len(waiting) > 0 {
					t.Fatal("does not wait")
				}
				tt.happens(a, b, server)
				<-waiting
				a.WaitReadable() // returns at once until somebody reads
				if n, err := a.Read(make([]byte, 2)); err != tt.err && !errors.Is(err, tt.err) || (err == nil) != (n == 1) {
					t.Errorf("then Read returns %d, %v; want %v", n, err, tt.err)
				}
			})
		})
	}
}

// WaitWritable returns what Write takes without waiting for the peer.
func TestWaitWritable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memoryPair()
		session, peer := newPeerOn(t, yamux.Client(near, yamux.Config{}), far)
		st := peer.open(session, 1)
		check(t, st.SetDeadline(time.Time{}))
		wantWritable := func(want int) {
			t.Helper()
			if n, err := st.WaitWritable(); n != want || err != nil {
				t.Errorf("there is room for %d, %v; want %d", n, err, want)
			}
		}
		wantWritable(window)
		wantWritable(window) // asking consumes nothing
		go func() { _, _ = io.Copy(io.Discard, far) }()
		conntest.Write(t, st, make([]byte, 1000))
		wantWritable(window - 1000)
		conntest.Write(t, st, make([]byte, window-1000))
		waiting := async(func() error { wantWritable(7); return nil })
		check(t, st.SetReadDeadline(time.Now())) // the other direction
		synctest.Wait()
		if len(waiting) > 0 {
			t.Fatal("does not wait")
		}
		peer.send(update(1, 0, 7))
		<-waiting
	})
}

// The errors of WaitWritable are those of Write, even where there is room.
func TestWaitWritableErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		happens func(a, b *yamux.Stream, s *yamux.Session)
		err     error
	}{
		"CloseWrite":      {func(a, _ *yamux.Stream, _ *yamux.Session) { a.CloseWrite() }, syscall.EPIPE},
		"RST":             {func(_, b *yamux.Stream, _ *yamux.Session) { b.Reset() }, yamux.ErrReset},
		"Close":           {func(a, _ *yamux.Stream, _ *yamux.Session) { a.Close() }, net.ErrClosed},
		"Reset":           {func(a, _ *yamux.Stream, _ *yamux.Session) { a.Reset() }, net.ErrClosed},
		"a deadline":      {func(a, _ *yamux.Stream, _ *yamux.Session) { a.SetWriteDeadline(time.Now()) }, os.ErrDeadlineExceeded},
		"the session end": {func(_, _ *yamux.Stream, s *yamux.Session) { s.Close() }, yamux.ErrSessionEnded},
	} {
		for room, n := range map[string]int{"with room": 0, "without": window} {
			t.Run(name+" "+room, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client, server := memorySessions(t)
					a, b := open(t, client, server)
					check(t, a.SetDeadline(time.Time{}))
					conntest.Write(t, a, make([]byte, n))
					waiting := async(func() error { // for room, if there is none
						_, err := a.WaitWritable()
						return err
					})
					synctest.Wait()
					tt.happens(a, b, server)
					synctest.Wait()
					switch {
					case len(waiting) == 0:
						t.Error("who waits is not told")
					case n > 0:
						if err := <-waiting; !errors.Is(err, tt.err) {
							t.Errorf("who waits gets %v, want %v", err, tt.err)
						}
					}
					if n, err := a.WaitWritable(); n != 0 || !errors.Is(err, tt.err) {
						t.Errorf("got %d, %v; want %v", n, err, tt.err)
					}
				})
			})
		}
	}
}
