package join_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
)

// A reset goes through as a reset, anywhere in the stream.
func TestResetGoesThrough(t *testing.T) {
	for _, n := range []int{0, 1, 4 << 10, 1 << 20} {
		t.Run(fmt.Sprintf("after %d bytes", n), func(t *testing.T) {
			forEachSide(t, func(t *testing.T, side join.Side) {
				r := startRig(t)
				sent := pattern(n)
				wrote := make(chan error, 1)
				go func() {
					_, err := r.far[side].Write(sent)
					wrote <- err
				}()
				if got := conntest.Read(t, r.far[other(side)], n); !bytes.Equal(got, sent) {
					t.Fatal("the bytes before the reset differ")
				}
				if err := <-wrote; err != nil {
					t.Fatal(err)
				}
				_ = r.far[side].Reset()
				if more := wantReset(t, r.far[other(side)]); len(more) > 0 {
					t.Errorf("%d bytes came that were not sent", len(more))
				}
				result := r.wait()
				wantFailure(t, result, side)
				if got := copiedFrom(result, side); got != int64(n) {
					t.Errorf("counted %d bytes, want %d", got, n)
				}
			})
		})
	}
}

// A reset may destroy bytes in flight, as with TCP. It must not look like an end, and what
// arrives is what was sent first.
func TestResetWithBytesOnTheirWay(t *testing.T) {
	for _, n := range []int{1, 4 << 10, 1 << 20} {
		t.Run(fmt.Sprintf("%d bytes", n), func(t *testing.T) {
			forEachSide(t, func(t *testing.T, side join.Side) {
				sent := pattern(n)
				for range 20 {
					r := startRig(t)
					got := make(chan []byte, 1)
					go func() { got <- wantReset(t, r.far[other(side)]) }()
					conntest.Write(t, r.far[side], sent)
					_ = r.far[side].Reset()
					if b := <-got; !bytes.HasPrefix(sent, b) {
						t.Fatalf("got %d bytes that are not the beginning of what was sent", len(b))
					}
					wantFailure(t, r.wait(), side)
				}
			})
		})
	}
}

// After one direction has ended a reset must still show on the other one.
func TestResetAfterHalfClose(t *testing.T) {
	forEachSide(t, func(t *testing.T, side join.Side) {
		t.Run("of the end that goes on", func(t *testing.T) {
			r := startRig(t)
			client, server := r.far[side], r.far[other(side)]
			if err := client.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(server); err != nil || len(got) > 0 {
				t.Fatalf("got %d bytes, %v", len(got), err)
			}
			conntest.Write(t, server, "half an answer")
			conntest.Read(t, client, len("half an answer"))
			_ = server.Reset()
			wantReset(t, client)
			result := r.wait()
			wantFailure(t, join.Result{First: other(result.First), Err: result.Err}, other(side))
			if result.First != side {
				t.Errorf("First = %s, but %s had ended before", name(result.First), name(side))
			}
		})
		t.Run("of the end that is done", func(t *testing.T) {
			r := startRig(t)
			client, server := r.far[side], r.far[other(side)]
			if err := client.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(server); err != nil || len(got) > 0 {
				t.Fatalf("got %d bytes, %v", len(got), err)
			}
			_ = client.Reset()
			// Its end has been read, so the server learns of the reset by writing.
			var err error
			for chunk := make([]byte, 32<<10); err == nil; {
				_, err = server.Write(chunk)
			}
			if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				t.Errorf("got %v, want a reset", err)
			}
			if result := r.wait(); result.Err == nil {
				t.Error("Result.Err is nil after a reset")
			}
		})
	})
}

// The kernel reports a reset once. If that is to a write, the read behind it sees a plain
// end, which must not be passed on as one.
func TestResetThatAWriteTookNoteOf(t *testing.T) {
	forEachSide(t, func(t *testing.T, side join.Side) {
		r := newRig(t)
		_ = r.far[side].Reset()
		if _, err := r.near[side].Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("got %v, want the reset", err)
		}
		r.start(r.near[join.A], r.near[join.B])
		wantReset(t, r.far[other(side)])
		wantFailure(t, r.wait(), side)
	})
}

// The same, as chance has it.
func TestResetWhileTheOtherSideWrites(t *testing.T) {
	forEachSide(t, func(t *testing.T, side join.Side) {
		for range 200 {
			r := startRig(t)
			conntest.Write(t, r.far[side], "hello")
			conntest.Read(t, r.far[other(side)], len("hello"))
			_ = r.far[side].Reset()
			if _, err := r.far[other(side)].Write([]byte("x")); err != nil {
				// The reset was quicker, and our own write has taken it off the socket.
				if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
					t.Fatal(err)
				}
			} else {
				wantReset(t, r.far[other(side)])
			}
			wantFailure(t, r.wait(), side)
			if t.Failed() {
				return
			}
		}
	})
}
