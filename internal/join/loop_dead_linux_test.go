package join_test

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/transport"
)

func TestSilent(t *testing.T) {
	const limit = uint32(join.Silence / time.Millisecond)
	for name, tt := range map[string]struct {
		info unix.TCPInfo
		want bool
	}{
		"nothing comes, the kernel tries":               {unix.TCPInfo{Last_ack_recv: limit, Last_data_recv: 3 * limit, Retransmits: 3}, true},
		"nothing comes, behind a closed window":         {unix.TCPInfo{Last_ack_recv: 3 * limit, Last_data_recv: limit, Probes: 3}, true},
		"some of each":                                  {unix.TCPInfo{Last_ack_recv: limit, Last_data_recv: limit, Probes: 2, Retransmits: 1}, true},
		"a moment less":                                 {unix.TCPInfo{Last_ack_recv: limit - 1, Last_data_recv: limit, Retransmits: 9}, false},
		"data comes, and acknowledges nothing":          {unix.TCPInfo{Last_ack_recv: 100 * limit, Last_data_recv: 10, Retransmits: 9}, false},
		"an old kernel has not tried since two minutes": {unix.TCPInfo{Last_ack_recv: 4 * limit, Last_data_recv: 9 * limit, Probes: 1}, false},
		"written a moment ago, after a long pause":      {unix.TCPInfo{Last_ack_recv: 9 * limit, Last_data_recv: 9 * limit}, false},
	} {
		if got := join.Silent(&tt.info, join.Silence); got != tt.want {
			t.Errorf("%s: got %t, want %t", name, got, tt.want)
		}
	}
}

func TestNothingUnderWay(t *testing.T) {
	const established, closed = 1, 7
	for name, tt := range map[string]struct {
		info unix.TCPInfo
		want bool
	}{
		"all acknowledged":      {unix.TCPInfo{State: established}, true},
		"sent":                  {unix.TCPInfo{State: established, Unacked: 1}, false},
		"behind a window":       {unix.TCPInfo{State: established, Notsent_bytes: 1}, false},
		"the kernel gave it up": {unix.TCPInfo{State: closed, Unacked: 1, Notsent_bytes: 1}, true},
	} {
		if got := join.AllAcked(&tt.info); got != tt.want {
			t.Errorf("%s: got %t, want %t", name, got, tt.want)
		}
	}
}

func TestIsStuck(t *testing.T) {
	const established, lastAck, closed, recovery = 1, 9, 7, 3
	for name, tt := range map[string]struct {
		info unix.TCPInfo
		want bool
	}{
		"all acknowledged":                  {unix.TCPInfo{State: established, Rto: 3_000_000}, false},
		"sent a moment ago":                 {unix.TCPInfo{State: lastAck, Unacked: 1, Rto: 204_000}, false},
		"behind a window":                   {unix.TCPInfo{State: lastAck, Notsent_bytes: 1, Rto: 204_000}, true},
		"sent again":                        {unix.TCPInfo{State: lastAck, Unacked: 1, Ca_state: recovery, Rto: 204_000}, true},
		"attempts have become rare":         {unix.TCPInfo{State: lastAck, Unacked: 1, Rto: 3_000_000}, true},
		"the kernel has given it up anyway": {unix.TCPInfo{State: closed, Unacked: 1, Ca_state: recovery, Rto: 3_000_000}, false},
	} {
		if got := join.IsStuck(&tt.info); got != tt.want {
			t.Errorf("%s: got %t, want %t", name, got, tt.want)
		}
	}
}

// Periods that make a test short. The kernel's first attempts come within 200,
// 400 and 800 ms; a peer that does not read answers at longer intervals than this.
const (
	shortInterval = 50 * time.Millisecond
	shortSilence  = 100 * time.Millisecond
)

// startChecking is startRig with those, or with another time between checks.
func startChecking(t *testing.T, checkInterval time.Duration) (*rig, *join.Engine) {
	t.Helper()
	r := newRig(t)
	return r, r.startChecking(checkInterval)
}

func (r *rig) startChecking(checkInterval time.Duration) *join.Engine {
	t := r.t
	t.Helper()
	e, err := join.NewEngineChecking(checkInterval, shortSilence)
	if err != nil {
		t.Fatal(err)
	}
	e.NewSet(nil).Join(r.ctx, r.near[join.A], r.near[join.B], join.Options{}, func(result join.Result) { r.result <- result })
	t.Cleanup(func() {
		r.cancel(context.Canceled)
		e.Close()
	})
	return e
}

// vanish has the kernel drop all that comes for conn, which from then on answers nothing.
func vanish(t *testing.T, conn *transport.Conn) {
	t.Helper()
	var err error
	_ = conn.Control(func(fd uintptr) {
		drop := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop[0]})
	})
	if err != nil {
		t.Fatalf("SO_ATTACH_FILTER: %v", err)
	}
}

// wantDead expects that the join ends because side acknowledges nothing, and that
// the other peer sees a failure.
func wantDead(t *testing.T, r *rig, side join.Side) {
	t.Helper()
	result := r.wait()
	if !errors.Is(result.Err, join.ErrDead) || result.Ending() != join.Lost {
		t.Errorf("the join ended with %v (%s), want %v (%s)", result.Err, result.Ending(), join.ErrDead, join.Lost)
	}
	wantReset(t, r.far[other(side)])
}

// vanishing is how a peer may vanish: on which side, and when.
var vanishing = map[string]func(t *testing.T, r *rig, side join.Side){
	"with a few bytes under way": func(t *testing.T, r *rig, side join.Side) {
		vanish(t, r.far[side])
		conntest.Write(t, r.far[other(side)], "hello?")
	},
	"while much is under way": func(t *testing.T, r *rig, side join.Side) {
		vanish(t, r.far[side])
		holdUp(t, r.far[other(side)])
	},
	"behind a closed window": func(t *testing.T, r *rig, side join.Side) {
		holdUp(t, r.far[other(side)])
		vanish(t, r.far[side])
	},
	"with an end under way": func(t *testing.T, r *rig, side join.Side) {
		vanish(t, r.far[side])
		if err := r.far[other(side)].CloseWrite(); err != nil {
			t.Fatal(err)
		}
	},
}

func TestPeerVanishes(t *testing.T) {
	for name, before := range vanishing {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothSides(t, func(t *testing.T, side join.Side) func() {
				r, _ := startChecking(t, shortInterval)
				before(t, r, side)
				return func() { wantDead(t, r, side) }
			})
		})
	}
}

// A peer that does not read answers the kernel's probes, and may take any time: here
// dozens of times as long as a peer that answers nothing.
func TestPeerWhoDoesNotReadStays(t *testing.T) {
	t.Parallel()
	bothSides(t, func(t *testing.T, side join.Side) func() {
		r, e := startChecking(t, shortInterval)
		sent := holdUp(t, r.far[other(side)])
		since := time.Now()
		return func() {
			select {
			case result := <-r.result:
				t.Fatalf("the join ended: %+v", result)
			case <-time.After(60*shortSilence - time.Since(since)):
			}
			if n := e.Unacked(); n == 0 {
				t.Error("nothing is checked: the test shows nothing")
			}
			conntest.Read(t, r.far[side], int(sent))
			conntest.Write(t, r.far[side], "still here")
			conntest.Read(t, r.far[other(side)], len("still here"))
		}
	})
}

// A machine that was suspended for long wakes up to a long silence, which is not the
// peer's fault. One check is not enough to condemn it.
func TestPeerWhoAnswersAfterASilenceStays(t *testing.T) {
	t.Parallel()
	const side = join.A
	// By then the kernel has tried three times and more. It tries again after 6.2 to 6.7 s,
	// between this check and the next one.
	r, e := startChecking(t, 3600*time.Millisecond)
	vanish(t, r.far[side])
	conntest.Write(t, r.far[other(side)], "hello?")
	for start := time.Now(); e.Suspects() == 0; <-time.After(time.Millisecond) {
		if time.Since(start) > patience {
			t.Fatal("the silence is not noticed")
		}
	}
	_ = r.far[side].Control(func(fd uintptr) { // 2.6 s before the kernel tries again
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
	})
	conntest.Read(t, r.far[side], len("hello?"))
	for start := time.Now(); e.Unacked() != 0; <-time.After(time.Millisecond) {
		if time.Since(start) > patience {
			t.Fatal("a socket is still checked after all was acknowledged")
		}
	}
	select {
	case result := <-r.result:
		t.Errorf("the join ended: %+v", result)
	default:
	}
}

// Sockets without unacknowledged data are not checked, so that a join at rest costs
// nothing.
func TestNobodyIsLookedAtWithoutNeed(t *testing.T) {
	t.Parallel()
	r, e := startChecking(t, shortInterval)
	if n := e.Unacked(); n != 0 {
		t.Errorf("%d sockets are checked before anything was written", n)
	}
	for range 3 {
		conntest.Write(t, r.far[join.A], "x")
		conntest.Read(t, r.far[join.B], 1)
		for start := time.Now(); e.Unacked() != 0; <-time.After(shortInterval / 10) {
			if time.Since(start) > patience {
				t.Fatalf("%d sockets are still checked", e.Unacked())
			}
		}
	}
	_ = r.far[join.A].Reset()
	if result := r.wait(); !errors.Is(result.Err, syscall.ECONNRESET) && !errors.Is(result.Err, join.ErrReset) {
		t.Errorf("the join ended with %v, want a reset", result.Err)
	}
	if n := e.Unacked(); n != 0 {
		t.Errorf("%d sockets are checked after the join", n)
	}
}

// While data is unacknowledged the kernel must not give the peer up: over a path that
// fails again and again it counts from the first failure, though bytes have moved since.
// Afterwards the kernel is in charge again, which notices a silent peer by keep-alive.
func TestKernelIsPatient(t *testing.T) {
	r := newRig(t)
	var socket int // the engine takes it over
	_ = r.near[join.B].Control(func(fd uintptr) { socket, _ = unix.Dup(int(fd)) })
	t.Cleanup(func() { _ = unix.Close(socket) })
	r.startChecking(shortInterval)
	wantPatience(t, r.far, socket)
}
