package join_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/seed96252745/relay/internal/join"
)

func TestEnding(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want join.Ending
	}{
		{nil, join.Finished},
		{syscall.ECONNRESET, join.WasReset},
		{os.NewSyscallError("read", syscall.ECONNRESET), join.WasReset},
		{os.NewSyscallError("write", syscall.EPIPE), join.WasReset},
		{os.NewSyscallError("wsarecv", syscall.Errno(10054)), join.WasReset}, // WSAECONNRESET
		{os.NewSyscallError("wsasend", syscall.Errno(10053)), join.WasReset}, // WSAECONNABORTED
		{os.NewSyscallError("wsarecv", syscall.Errno(10060)), join.Lost},     // WSAETIMEDOUT
		{join.ErrReset, join.WasReset},
		{fmt.Errorf("stream: %w", join.ErrReset), join.WasReset},
		{os.NewSyscallError("read", syscall.ETIMEDOUT), join.Lost},
		{net.ErrClosed, join.Lost},
		{errors.New("anything else"), join.Lost},
		{join.ErrNoProgress, join.Stalled},
		{fmt.Errorf("join: %w", join.ErrNoProgress), join.Stalled},
	} {
		if got := (join.Result{Err: tt.err}).Ending(); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.err, got, tt.want)
		}
	}
}

func TestEndingString(t *testing.T) {
	for ending, want := range map[join.Ending]string{
		join.Finished: "finished", join.WasReset: "reset", join.Lost: "lost", join.Stalled: "stalled", join.Stopped: "stopped",
	} {
		if got := ending.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Real joins end as their results say.
func TestEndingOfJoins(t *testing.T) {
	for _, tt := range []struct {
		want join.Ending
		end  func(t *testing.T, r *rig)
	}{
		{join.Finished, func(t *testing.T, r *rig) {
			for _, conn := range r.far {
				if err := conn.CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{join.WasReset, func(_ *testing.T, r *rig) { _ = r.far[join.A].Reset() }},
		{join.Lost, func(_ *testing.T, r *rig) { _ = r.near[join.A].Close() }},
		// Whatever the cause, even one that looks like something else.
		{join.Stopped, func(_ *testing.T, r *rig) { r.cancel(nil) }},
		{join.Stopped, func(_ *testing.T, r *rig) { r.cancel(syscall.ECONNRESET) }},
		{join.Stopped, func(_ *testing.T, r *rig) { r.cancel(join.ErrNoProgress) }},
	} {
		for _, how := range []string{"", copied} {
			if tt.want == join.Lost && how == copied {
				continue // it reads, and sees that
			}
			t.Run(tt.want.String()+how, func(t *testing.T) {
				r := startRig(t)
				tt.end(t, r)
				if result := r.wait(); result.Ending() != tt.want {
					t.Errorf("got %s of %+v, want %s", result.Ending(), result, tt.want)
				}
			})
		}
	}
}
