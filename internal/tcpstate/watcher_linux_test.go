package tcpstate_test

import (
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/tcpstate"
	"github.com/seed96252745/relay/internal/transport"
)

// Close ends the remaining watches, which may still be stopped, and the Watcher can be
// used again.
func TestCloseWatcher(t *testing.T) {
	conn, peer := pair(t)
	w := watcher(t)
	quiet, fired := make(chan struct{}, 1), make(chan struct{}, 1)
	before := w.Start(conn, tcpstate.Ended, func() { quiet <- struct{}{} })
	w.Close()
	_ = peer.CloseWrite()
	again := w.Start(conn, tcpstate.Ended, func() { fired <- struct{}{} })
	wantFired(t, fired)
	before.Stop()
	again.Stop()
	wantQuiet(t, quiet)
}

// setOption sets an option of conn's socket.
func setOption(t *testing.T, of *transport.Conn, level, option, value int) {
	t.Helper()
	var err error
	_ = of.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, value) })
	if err != nil {
		t.Fatalf("setsockopt %d: %v", option, err)
	}
}

// vanish has a connection drop everything that comes.
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

// probe has the kernel probe conn's peer each second, and give up after so many seconds
// without an answer.
func probe(t *testing.T, conn *transport.Conn, seconds int) {
	t.Helper()
	setOption(t, conn, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 1)
	setOption(t, conn, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 1)
	setOption(t, conn, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, seconds)
	setOption(t, conn, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
}

// The kernel notices a peer that has vanished silently, and so does the watch: of a
// user who waits, or of a connection that waits in a pool. How long that takes depends
// on the settings of package transport; here it takes two seconds.
func TestPeerVanishes(t *testing.T) {
	for name, until := range map[string]tcpstate.State{"pool": tcpstate.Ended, "user": tcpstate.Dead} {
		t.Run(name, func(t *testing.T) {
			conn, peer := pair(t)
			probe(t, conn, 1)
			_, fired := watch(t, conn, until)
			vanish(t, peer)
			wantFired(t, fired)
			if got := tcpstate.Of(conn); got != tcpstate.Dead {
				t.Errorf("got state %d, want %d", got, tcpstate.Dead)
			}
		})
	}
}

// Before the kernel gives a peer up, its silence shows, and so does its return if it
// was only gone for a while.
func TestSilent(t *testing.T) {
	conn, peer := pair(t)
	probe(t, conn, 100)
	_, quiet := watch(t, conn, tcpstate.Ended)
	vanish(t, peer)
	wantState(t, conn, tcpstate.Silent)
	setOption(t, peer, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
	wantState(t, conn, tcpstate.Open)
	wantQuiet(t, quiet)
}

func wantState(t *testing.T, conn *transport.Conn, want tcpstate.State) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var got tcpstate.State
	for since := time.Now(); time.Since(since) < patience; <-tick.C {
		if got = tcpstate.Of(conn); got == want {
			return
		}
	}
	t.Fatalf("got state %d, want %d", got, want)
}

// faulty is a connection whose Control panics once.
type faulty struct {
	*transport.Conn
	panicked atomic.Bool
}

func (f *faulty) Control(do func(fd uintptr)) error {
	if !f.panicked.Swap(true) {
		panic("in Control")
	}
	return f.Conn.Control(do)
}

// A panic ends the watch that it happens in, is reported, and leaves the others alone.
func TestPanic(t *testing.T) {
	told := make(chan *crash.Error, 10)
	w := watcher(t)
	w.OnCrash = func(c *crash.Error) { told <- c }
	wantTold := func(value string) {
		t.Helper()
		select {
		case c := <-told:
			if c.Value != value {
				t.Errorf("told of %v, want %v", c.Value, value)
			}
		case <-time.After(patience):
			t.Fatal("nobody was told of the panic")
		}
	}
	last, lastPeer := pair(t)
	fired := make(chan struct{}, 1)
	w.Start(last, tcpstate.Ended, func() { fired <- struct{}{} })

	conn, peer := pair(t)
	first := w.Start(conn, tcpstate.Ended, func() { panic("in fire") })
	_ = peer.CloseWrite()
	wantTold("in fire")
	first.Stop()

	conn, _ = pair(t)
	second := w.Start(&faulty{Conn: conn}, tcpstate.Ended, func() { t.Error("a watch that had ended fired") })
	wantTold("in Control")
	second.Stop()

	_ = lastPeer.CloseWrite()
	wantFired(t, fired)
}
