package yamux_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/yamux"
)

// After a FIN the other direction goes on without a time limit, in either direction and
// whichever side has opened the stream.
func TestHalfClose(t *testing.T) {
	for name, swap := range map[string]bool{"by who opened": false, "by who accepted": true} {
		t.Run(name, func(t *testing.T) {
			a, b := streams(t)
			if swap {
				a, b = b, a
			}
			question, answer := pattern(1, 0, 1<<20), pattern(2, 0, 5<<20)
			written := async(func() error {
				if _, err := a.Write(question); err != nil {
					return err
				}
				return a.CloseWrite()
			})
			if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, question) {
				t.Errorf("got %d bytes, %v; want the %d that were sent", len(got), err, len(question))
			}
			check(t, wait(t, written, "the question"))
			written = async(func() error {
				if _, err := b.Write(answer); err != nil {
					return err
				}
				return b.CloseWrite()
			})
			if got, err := io.ReadAll(a); err != nil || !bytes.Equal(got, answer) {
				t.Errorf("got %d bytes, %v; want the %d that were sent", len(got), err, len(answer))
			}
			check(t, wait(t, written, "the answer"))
			wantReadErr(t, a, io.EOF)
			wantReadErr(t, b, io.EOF)
			check(t, a.Close())
			check(t, b.Close())
		})
	}
}

// Data sent before a FIN is read before the end, even if the FIN is handled first.
func TestDataBeforeFIN(t *testing.T) {
	for name, end := range map[string][]frame{
		"in a window update":   {data(1, 0, "all of it"), update(1, flagFIN, 0)},
		"in an empty frame":    {data(1, 0, "all of it"), data(1, flagFIN, "")},
		"in the same frame":    {data(1, flagFIN, "all of it")},
		"with the ACK":         {data(1, flagACK|flagFIN, "all of it")},
		"and the session ends": {data(1, flagFIN, "all of it"), protocolError},
	} {
		t.Run(name, func(t *testing.T) {
			session, peer := newPeer(t, yamux.Client, yamux.Config{})
			st, err := session.Open(t.Context())
			check(t, err)
			peer.send(end...)
			if name == "and the session ends" {
				wait(t, session.Done(), "the end of the session")
			} else {
				peer.sync()
			}
			conntest.WantRead(t, st, "all ")
			conntest.WantRead(t, st, "of it")
			wantReadErr(t, st, io.EOF)
		})
	}
}

func TestWriteAfterCloseWrite(t *testing.T) {
	a, b := streams(t)
	check(t, a.CloseWrite())
	for _, n := range []int{0, 1, 2 * window} {
		if n, err := a.Write(make([]byte, n)); n != 0 || !errors.Is(err, syscall.EPIPE) {
			t.Errorf("Write after CloseWrite returns %d, %v; want %v", n, err, syscall.EPIPE)
		}
	}
	check(t, a.CloseWrite()) // has no effect, as on TCP
	wantReadErr(t, b, io.EOF)
	check(t, b.CloseWrite())
	check(t, a.CloseWrite())
}

// Every call on a closed stream fails as on a closed socket.
func TestUseAfterClose(t *testing.T) {
	for name, end := range map[string]func(*yamux.Stream) error{
		"Close": (*yamux.Stream).Close, "Reset": (*yamux.Stream).Reset,
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := streams(t)
			check(t, end(a))
			_, readErr := a.Read(make([]byte, 1))
			_, writeErr := a.Write(make([]byte, 1))
			for call, err := range map[string]error{
				"Read": readErr, "Write": writeErr, "Close": a.Close(), "CloseWrite": a.CloseWrite(), "Reset": a.Reset(),
			} {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("%s returns %v, want %v", call, err, net.ErrClosed)
				}
			}
		})
	}
}

// Close is not CloseWrite, but what was written is still delivered, followed by FIN.
func TestCloseDelivers(t *testing.T) {
	a, b := streams(t)
	sent := pattern(3, 0, window)
	conntest.Write(t, a, sent)
	check(t, a.Close())
	if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("got %d bytes, %v; want the %d that were sent", len(got), err, len(sent))
	}
	check(t, b.Close())
}

// A FIN that nobody reads leaves nothing of the stream behind, on either side: the
// limit of streams is not used up.
func TestEndedStreamsLeaveNothing(t *testing.T) {
	near, far := tcpPair(t)
	client, server := yamux.Client(near, yamux.Config{MaxStreams: 1}), yamux.Server(far, accepting)
	defer server.Close()
	defer client.Close()
	for _, end := range []func(a, b *yamux.Stream) error{
		func(a, b *yamux.Stream) error { return errors.Join(b.Close(), drained(a), a.Close()) },
		func(a, b *yamux.Stream) error { return errors.Join(b.CloseWrite(), drained(a), a.CloseWrite()) },
		func(a, b *yamux.Stream) error {
			gone := whenGone(a)
			return errors.Join(a.Close(), drained(b), b.Close(), gone())
		},
		func(a, _ *yamux.Stream) error { return a.Reset() },
		func(a, b *yamux.Stream) error {
			gone := whenGone(a)
			return errors.Join(b.Reset(), gone())
		},
	} {
		a, b := open(t, client, server)
		if _, err := client.Open(t.Context()); !errors.Is(err, yamux.ErrTooManyStreams) {
			t.Fatalf("a second stream returns %v, want %v", err, yamux.ErrTooManyStreams)
		}
		check(t, end(a, b))
	}
	open(t, client, server)
}

// drained reads to the end.
func drained(st *yamux.Stream) error {
	_, err := io.Copy(io.Discard, st)
	return err
}

// whenGone returns a function that waits until the stream has ended. Call it before the
// end: if it is called during the end, wait may return before the stream's slot is
// free.
func whenGone(st *yamux.Stream) (wait func() error) {
	gone := make(chan struct{})
	st.OnEnd(func() { close(gone) })
	return func() error {
		<-gone
		return nil
	}
}
