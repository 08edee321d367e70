package join_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
)

// A receiver that does not read stops the sender: between them there is no
// more than the sockets' buffers, and nothing is lost.
func TestBackPressure(t *testing.T) {
	const (
		socket = 64 << 10
		// There are four buffers in between, beside the join's own. The kernel doubles a
		// size that is set, and counts more than payload as used, so this is about the
		// order of magnitude.
		most = 2 * 4 * 2 * socket
	)
	forEachSide(t, func(t *testing.T, side join.Side) {
		t.Parallel()
		r := newRig(t)
		sender, receiver := r.far[side], r.far[other(side)]
		for _, conn := range []interface {
			SetReadBuffer(int) error
			SetWriteBuffer(int) error
		}{sender, receiver, r.near[join.A], r.near[join.B]} {
			if err := conn.SetReadBuffer(socket); err != nil {
				t.Fatal(err)
			}
			if err := conn.SetWriteBuffer(socket); err != nil {
				t.Fatal(err)
			}
		}
		r.start(r.near[join.A], r.near[join.B])
		taken := fill(t, sender)
		if taken > most {
			t.Errorf("%d bytes were taken from the sender while the receiver did not read, want %d at most", taken, most)
		}
		if err := sender.SetWriteDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if err := sender.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(receiver); err != nil || !bytes.Equal(got, filled(taken)) {
			t.Errorf("then %d bytes came, %v; want %d, the same ones", len(got), err, taken)
		}
		if err := receiver.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if result := r.wait(); result.Err != nil || copiedFrom(result, side) != taken {
			t.Errorf("got %+v, want %d bytes and no error", result, taken)
		}
	})
}

// filled returns the bytes that fill wrote.
func filled(n int64) []byte {
	chunk := pattern(64 << 10)
	return bytes.Repeat(chunk, int(n)/len(chunk)+1)[:n]
}

// One direction that stands still must not stop the other one.
func TestBackPressureOfOneDirectionOnly(t *testing.T) {
	forEachSide(t, func(t *testing.T, side join.Side) {
		t.Parallel()
		r := startRig(t)
		blocked, free := r.far[side], r.far[other(side)]
		fill(t, blocked)
		for range 100 {
			conntest.Write(t, free, "ping")
			conntest.Read(t, blocked, len("ping"))
		}
	})
}
