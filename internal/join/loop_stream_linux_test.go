package join_test

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/yamux"
)

// sessions returns both sides of a session, of which the first one opens streams.
func sessions(t *testing.T, config yamux.Config) (client, server *yamux.Session) {
	t.Helper()
	near, far := conntest.Pair(t)
	client, server = yamux.Client(near, config), yamux.Server(far, yamux.Config{Accept: true})
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func openStream(t *testing.T, client, server *yamux.Session) (near, far *yamux.Stream) {
	t.Helper()
	near, err := client.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if far, err = server.Accept(t.Context()); err != nil {
		t.Fatal(err)
	}
	return near, far
}

// joinStream joins a stream with a socket. It returns the far ends of both.
func joinStream(t *testing.T, result chan<- join.Result) (peer *yamux.Stream, user conn.Conn) {
	t.Helper()
	client, server := sessions(t, yamux.Config{})
	stream, peer := openStream(t, client, server)
	socket, user := conntest.Pair(t)
	if err := user.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	joinTo(t, context.Background(), stream, socket, result)
	return peer, user
}

// The reset of a stream is noticed even while the user's socket is full and nothing can
// be written to it.
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

// A stream may be reset after its FIN, while the user sends nothing.
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

// burstStream is a stream that has nothing, and then so much that it takes many
// turns, and then ends.
type burstStream struct {
	*yamux.Stream
	turns    atomic.Int32
	attached chan func()
}

func (b *burstStream) Attach(readable, writable func()) {
	b.attached <- readable
	b.Stream.Attach(readable, writable)
}

func (b *burstStream) PourTo(int) (n int, streamErr, socketErr error) {
	const turn = 256 << 10 // what a direction moves before others do
	switch left := b.turns.Load(); left {
	case 0:
		return 0, nil, nil
	case 1:
		return 0, io.EOF, nil
	default:
		b.turns.Add(-1)
		return turn, nil, nil
	}
}

// When the session itself has begun to move what has come, the loop moves on, for
// as many turns as it takes: nothing else may come.
func TestStreamHasMuchAtOnce(t *testing.T) {
	client, server := sessions(t, yamux.Config{})
	stream, _ := openStream(t, client, server)
	burst := &burstStream{Stream: stream, attached: make(chan func(), 1)}
	socket, user := conntest.Pair(t)
	if err := user.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	joinTo(t, ctx, burst, socket, make(chan join.Result, 1))
	readable := await(t, burst.attached)
	burst.turns.Store(10)
	readable()
	if b, err := io.ReadAll(user); len(b) > 0 || err != nil {
		t.Errorf("read %d bytes, %v; %d turns are left", len(b), err, burst.turns.Load())
	}
}

// Users who never read hold no more than the budget allows, be it in memory or in pipes.
// The users that hold most are reset, and others are served.
func TestMemoryOfStreamsThatNobodyReads(t *testing.T) {
	const (
		n     = 1000
		limit = 8 << 20
		slack = 8 << 20 // of joins and streams, their buffers and one frame
	)
	needDescriptors(t, 2*n)
	budget := yamux.NewBudget(limit)
	client, server := sessions(t, yamux.Config{Budget: budget})
	engine, err := join.NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	set := engine.NewSet(nil)
	ctx, cancel := context.WithCancel(context.Background())
	defer engine.Close()
	defer cancel()
	chunk := pattern(256 << 10) // a window
	heap := heapInUse()
	var writing sync.WaitGroup
	var reset atomic.Int32
	for range n {
		stream, peer := openStream(t, client, server)
		socket, user := conntest.Pair(t)
		_, _ = socket.TCP().SetWriteBuffer(4<<10), user.TCP().SetReadBuffer(4<<10)
		set.Join(ctx, stream, socket, join.Options{}, func(r join.Result) {
			if r.Ending() == join.Lost {
				reset.Add(1)
			}
		})
		writing.Go(func() {
			_ = peer.SetWriteDeadline(time.Now().Add(patience))
			_, _ = peer.Write(chunk) // fails for those who are reset
		})
	}
	writing.Wait()
	stream, peer := openStream(t, client, server) // its byte is behind all others
	_, _ = peer.Write([]byte{1})
	if _, err := stream.Read(make([]byte, 1)); err != nil {
		t.Errorf("no other user is served: %v", err)
	}
	if used := budget.Used(); used > limit || used < limit/4 {
		t.Errorf("%d KiB are held; the budget is %d KiB", used>>10, limit>>10)
	}
	if more := heapInUse() - heap; more > limit+slack {
		t.Errorf("there are %d KiB more in memory, of which the budget allows %d KiB", more>>10, limit>>10)
	}
	// Results come when what was written has had its time to arrive.
	for limit := time.Now().Add(patience); reset.Load() == 0 && time.Now().Before(limit); pass(time.Millisecond) {
	}
	if got := reset.Load(); got == 0 || got == n {
		t.Errorf("%d of %d users were reset", got, n)
	}
}
