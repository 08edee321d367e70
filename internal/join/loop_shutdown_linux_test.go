package join_test

import (
	"errors"
	"io"
	"syscall"
	"testing"

	"github.com/seed96252745/relay/internal/join"
)

// The system call that moves much returns the reset, and takes it off the socket: the
// next read sees a plain end.
func TestResetBehindBulkAfterHalfClose(t *testing.T) {
	forEachSide(t, func(t *testing.T, side join.Side) {
		t.Parallel()
		r := startRig(t)
		client, server := r.far[side], r.far[other(side)]
		if err := client.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(server); err != nil || len(got) > 0 {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
		sent := fill(t, server)
		_ = server.Reset()
		got, err := io.ReadAll(client)
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("of %d bytes before a reset came %d, then %v (nil is EOF); want a reset", sent, len(got), err)
		}
		if result := r.wait(); result.Ending() != join.WasReset {
			t.Errorf("got %s of %+v, want %s", result.Ending(), result, join.WasReset)
		}
	})
}

// The attempt to pass the other side's end on finds the reset.
func TestResetFoundByShutdown(t *testing.T) {
	r := newRig(t)
	if err := r.far[join.A].CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_ = r.far[join.B].Reset()
	r.start(r.near[join.A], r.near[join.B])
	if result := r.wait(); result.Ending() != join.WasReset {
		t.Errorf("got %s of %+v, want %s", result.Ending(), result, join.WasReset)
	}
}
