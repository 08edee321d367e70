package join_test

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/join"
)

var errStopped = errors.New("stopped by the test")

// The owner of a join can stop it in any state, and both peers see a reset: neither has
// sent its end.
func TestContextEndsJoin(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, r *rig)
	}{
		{"silent", func(*testing.T, *rig) {}},
		{"half-closed", func(t *testing.T, r *rig) { halfClose(t, r) }},
		{"blocked", func(t *testing.T, r *rig) { fill(t, r.far[join.A]) }},
		{"half-closed and blocked", func(t *testing.T, r *rig) {
			halfClose(t, r)
			fill(t, r.far[join.A])
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := startRig(t)
			tt.prepare(t, r)
			since := time.Now()
			r.cancel(errStopped)
			if result := r.wait(); !errors.Is(result.Err, errStopped) {
				t.Errorf("got %+v, want the cause of the context", result)
			}
			if took := time.Since(since); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			wantReset(t, r.far[join.B]) // A may have read the end already
		})
	}
}

// halfClose ends the direction of B's peer.
func halfClose(t *testing.T, r *rig) {
	t.Helper()
	if err := r.far[join.B].CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.far[join.A].Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("got %v, want the end", err)
	}
}

func TestContextThatIsDoneAlready(t *testing.T) {
	r := newRig(t)
	r.cancel(errStopped)
	r.start(r.near[join.A], r.near[join.B])
	if result := r.wait(); !errors.Is(result.Err, errStopped) {
		t.Errorf("got %+v, want the cause of the context", result)
	}
	for _, conn := range r.far {
		wantReset(t, conn)
	}
}
