package join_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/yamux"
)

// joinStream joins a stream with a socket. It gives the far ends of both.
func joinStream(t *testing.T, result chan<- join.Result) (peer *yamux.Stream, user join.Conn) {
	t.Helper()
	near, far := conntest.Pair(t)
	client, server := yamux.Client(near, yamux.Config{}), yamux.Server(far, yamux.Config{Accept: true})
	t.Cleanup(func() { client.Close(); server.Close() })
	stream, err := client.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if peer, err = server.Accept(t.Context()); err != nil {
		t.Fatal(err)
	}
	socket, user := conntest.Pair(t)
	if err := user.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	joinTo(t, context.Background(), stream, socket, result)
	return peer, user
}

// A stream that was reset is seen to be, even while the user's socket is full
// and nothing can be written to it.
func TestStreamIsResetWhileTheUserDoesNotRead(t *testing.T) {
	result := make(chan join.Result, 1)
	peer, user := joinStream(t, result)
	buf := make([]byte, 64<<10)
	for err := error(nil); !errors.Is(err, os.ErrDeadlineExceeded); _, err = peer.Write(buf) {
		if err != nil {
			t.Fatal(err)
		}
		_ = peer.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)) // until nothing moves
	}
	_ = peer.Reset()
	wantStreamReset(t, result)
	_ = user.Reset()
}

// A stream that has said FIN may be reset after it, while the user has nothing
// to say.
func TestStreamIsResetAfterItsEnd(t *testing.T) {
	result := make(chan join.Result, 1)
	peer, user := joinStream(t, result)
	if err := peer.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n, err := user.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatalf("read %d bytes, %v", n, err)
	}
	_ = peer.Reset()
	wantStreamReset(t, result)
}

func wantStreamReset(t *testing.T, result <-chan join.Result) {
	t.Helper()
	select {
	case r := <-result:
		if r.Ending() != join.WasReset {
			t.Errorf("the join ended %v: %v", r.Ending(), r.Err)
		}
	case <-time.After(patience):
		t.Fatal("the join goes on")
	}
}
