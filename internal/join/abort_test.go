package join_test

import (
	"errors"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/transport"
)

// A server that refuses a request answers and closes without reading on, which
// makes its kernel send a reset behind the answer. The answer says why, so both have to
// arrive, in this order.
func TestLastWordsBeforeReset(t *testing.T) {
	const answer = "413 Content Too Large"
	forEachSide(t, func(t *testing.T, side join.Side) {
		for range 50 {
			r := startRig(t)
			server, client := r.far[side], r.far[other(side)]
			conntest.Write(t, client, pattern(64<<10))
			conntest.Read(t, server, 1) // the rest stays unread
			conntest.Write(t, server, []byte(answer))
			_ = server.Close()
			if got := wantReset(t, client); string(got) != answer {
				t.Fatalf("got %q, want %q", got, answer)
			}
			wantFailure(t, r.wait(), side)
		}
	})
}

// The same while the client is still busy sending. It learns of the reset when
// it writes, and can read the answer even so.
func TestLastWordsToABusySender(t *testing.T) {
	const answer = "413 Content Too Large"
	forEachSide(t, func(t *testing.T, side join.Side) {
		for range 10 {
			r := startRig(t)
			server, client := r.far[side], r.far[other(side)]
			sent := make(chan error, 1)
			go func() {
				var err error
				for chunk := pattern(32 << 10); err == nil; {
					_, err = client.Write(chunk)
				}
				sent <- err
			}()
			conntest.Read(t, server, 1)
			conntest.Write(t, server, []byte(answer))
			_ = server.Close()
			if got, _ := io.ReadAll(client); string(got) != answer {
				t.Fatalf("got %q, want %q", got, answer)
			}
			if err := <-sent; !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				t.Errorf("writing ended with %v, want a reset", err)
			}
			wantFailure(t, r.wait(), side)
		}
	})
}

// The far end of one side does not read, and the bytes for it fill all buffers. When the
// other end is then found dead, the join ends: docs/protocol.md gives the receiver a
// second.
func TestResetIsNotHeldUpByABlockedWrite(t *testing.T) {
	forEachSide(t, func(t *testing.T, side join.Side) {
		t.Parallel()
		r := startRig(t)
		deaf, sender := r.far[side], r.far[other(side)]
		fill(t, sender)
		_ = sender.Reset()
		// An event loop notices by itself; a copier that comes a second later is told here.
		if _, err := deaf.Write([]byte("are you there?")); err != nil && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Fatal(err)
		}
		select {
		case result := <-r.result:
			if result.Err == nil {
				t.Error("Result.Err is nil after a reset")
			}
		case <-time.After(5 * time.Second):
			t.Error("5 s after the reset was noticed, the join still writes to an end that does not read")
		}
	})
}

// fill writes until nothing more is taken, and returns how much was.
func fill(t *testing.T, conn *transport.Conn) (taken int64) {
	t.Helper()
	chunk := pattern(64 << 10)
	for {
		if err := conn.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Write(chunk)
		taken += int64(n)
		if taken > 1<<30 {
			t.Fatal("there is no back-pressure at all")
		}
		if n < len(chunk) {
			if !isTimeout(err) {
				t.Fatalf("after %d bytes: %v", taken, err)
			}
			return taken
		}
	}
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}
