package yamux_test

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/yamux"
)

// Whatever ends the wait for the peer's window, Write returns how much was taken until
// then, and exactly that reaches the peer.
func TestBlockedWriteEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		end func(a, b *yamux.Stream, peer *yamux.Session)
		err error
		got error // what the peer reads after the bytes
	}{
		"Close":            {func(a, _ *yamux.Stream, _ *yamux.Session) { a.Close() }, net.ErrClosed, io.EOF},
		"Reset":            {func(a, _ *yamux.Stream, _ *yamux.Session) { a.Reset() }, net.ErrClosed, yamux.ErrReset},
		"a deadline":       {func(a, _ *yamux.Stream, _ *yamux.Session) { a.SetDeadline(time.Now()) }, os.ErrDeadlineExceeded, nil},
		"a write deadline": {func(a, _ *yamux.Stream, _ *yamux.Session) { a.SetWriteDeadline(time.Now()) }, os.ErrDeadlineExceeded, nil},
		"a later deadline": {func(a, _ *yamux.Stream, _ *yamux.Session) { a.SetWriteDeadline(time.Now().Add(time.Hour)) }, os.ErrDeadlineExceeded, nil},
		"the peer resets":  {func(_, b *yamux.Stream, _ *yamux.Session) { b.Reset() }, yamux.ErrReset, net.ErrClosed},
		"the peer closes":  {func(_, b *yamux.Stream, _ *yamux.Session) { b.Close() }, yamux.ErrReset, net.ErrClosed},
		"the session ends": {func(_, _ *yamux.Stream, s *yamux.Session) { s.Close() }, yamux.ErrSessionEnded, yamux.ErrSessionEnded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := memorySessions(t)
				a, b := open(t, client, server)
				for _, st := range []*yamux.Stream{a, b} {
					check(t, st.SetDeadline(time.Time{}))
				}
				sent, n := pattern(7, 0, window+1), 0
				writing := async(func() (err error) { n, err = a.Write(sent); return err })
				synctest.Wait()
				tt.end(a, b, server)
				if err := <-writing; !errors.Is(err, tt.err) || n != window {
					t.Errorf("Write returns %d, %v; want %d, %v", n, err, window, tt.err)
				}
				if tt.got != net.ErrClosed {
					conntest.WantRead(t, b, sent[:n])
				}
				if tt.got != nil {
					wantReadErr(t, b, tt.got)
					return
				}
				// A deadline ends one Write, not the stream.
				check(t, a.SetWriteDeadline(time.Time{}))
				conntest.Write(t, a, sent[n:])
				conntest.WantRead(t, b, sent[n:])
			})
		})
	}
}

// A blocked Write goes on with each byte that the window grows by.
func TestBlockedWriteGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memoryPair()
		session, peer := newPeerOn(t, yamux.Client(near, yamux.Config{}), far)
		st := peer.open(session, 1)
		sent := string(pattern(8, 0, window+10))
		writing := async(func() error { _, err := st.Write([]byte(sent)); return err })
		for n := 0; n < window; {
			f, err := peer.receive()
			check(t, err)
			if f != data(1, 0, sent[n:n+len(f.body)]) || len(f.body) == 0 || n+len(f.body) > window {
				t.Fatalf("at %d of %d came %v", n, window, f)
			}
			n += len(f.body)
		}
		for i := window; i < len(sent); i += 2 {
			peer.wantNothing()
			peer.send(update(1, 0, 0)) // changes nothing
			peer.wantNothing()
			peer.send(update(1, 0, 2))
			peer.want(data(1, 0, sent[i:i+2]))
		}
		check(t, <-writing)
	})
}

func TestReadDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memoryStreams(t)
		check(t, b.SetDeadline(time.Time{}))
		check(t, a.SetDeadline(time.Time{}))
		start := time.Now()
		check(t, a.SetReadDeadline(start.Add(time.Minute)))
		reading := async(func() error { _, err := a.Read(make([]byte, 1)); return err })
		if err := <-reading; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("after %v: %v; want %v after a minute", time.Since(start), err, os.ErrDeadlineExceeded)
		}
		conntest.Write(t, b, "data")
		synctest.Wait()
		wantReadErr(t, a, os.ErrDeadlineExceeded) // as on a socket, even with data there
		conntest.Write(t, a, "x")                 // the other direction works
		check(t, a.SetReadDeadline(time.Time{}))
		conntest.WantRead(t, a, "data")

		// A deadline that is moved, or removed, during a Read.
		check(t, a.SetReadDeadline(time.Now().Add(time.Second)))
		reading = async(func() error { _, err := a.Read(make([]byte, 1)); return err })
		synctest.Wait()
		check(t, a.SetReadDeadline(time.Now().Add(2*time.Second)))
		time.AfterFunc(time.Second+time.Millisecond, func() { a.SetReadDeadline(time.Time{}) })
		time.AfterFunc(time.Minute, func() { b.Write([]byte("x")) })
		if err := <-reading; err != nil {
			t.Errorf("a Read without a deadline returns %v", err)
		}
	})
}

// Deadlines of a stream that has ended have no effect.
func TestDeadlineOfEndedStream(t *testing.T) {
	a, b := streams(t)
	check(t, a.Close())
	for _, set := range []func(time.Time) error{a.SetDeadline, a.SetReadDeadline, a.SetWriteDeadline} {
		if err := set(time.Now()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("setting a deadline of a closed stream returns %v, want %v", err, net.ErrClosed)
		}
	}
	wantReadErr(t, b, io.EOF)
	check(t, b.SetDeadline(time.Now()))
}

// Empty reads and writes do not wait.
func TestEmptyReadsAndWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memoryStreams(t)
		conntest.Write(t, a, make([]byte, window))
		for _, call := range []func([]byte) (int, error){a.Read, a.Write, b.Read, b.Write} {
			if n, err := call(nil); n != 0 || err != nil {
				t.Errorf("got %d, %v", n, err)
			}
		}
	})
}
