package join_test

import (
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/transport"
)

// reserve has so many descriptors left. Lent ones are free meanwhile; other goroutines
// take the first ones.
type reserve struct{ left, lent, taken atomic.Int32 }

func (r *reserve) Lend() bool {
	if r.left.Add(-1) < 0 {
		return false
	}
	if r.taken.Add(-1) < 0 {
		r.lent.Add(1)
	}
	return true
}

func (r *reserve) Fill() { r.lent.Store(0) }

// short is a connection that finds no descriptor, unless one was lent.
type short struct {
	*transport.Conn
	reserve *reserve
}

func (s short) Detach(end func()) (int, error) {
	if s.reserve.lent.Load() == 0 {
		return -1, os.NewSyscallError("fcntl", syscall.EMFILE)
	}
	return s.Conn.Detach(end)
}

// Two peers that know of each other are joined even if there is no descriptor left for the
// moment that it takes.
func TestJoinWithTheReserve(t *testing.T) {
	for _, tt := range []struct {
		left, taken int32
		want        bool
	}{{0, 0, false}, {1, 0, true}, {3, 2, true}, {2, 2, false}, {1000, 1000, false}} {
		r := newRig(t)
		held := new(reserve)
		held.left.Store(tt.left)
		held.taken.Store(tt.taken)
		engine := newEngine(t)
		engine.Reserve = held
		engine.NewSet(nil).Join(r.ctx, r.near[join.A], short{r.near[join.B], held}, join.Options{}, func(result join.Result) { r.result <- result })
		if !tt.want {
			if result := r.wait(); result.Err == nil {
				t.Errorf("joined without a descriptor, %d of %d having been taken", tt.taken, tt.left)
			}
			continue
		}
		conntest.Write(t, r.far[join.A], "hello")
		conntest.Read(t, r.far[join.B], len("hello"))
		if n := held.lent.Load(); n != 0 {
			t.Errorf("%d descriptors are lent still", n)
		}
		_ = r.far[join.A].Reset()
		r.wait()
	}
}
