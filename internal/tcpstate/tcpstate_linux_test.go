package tcpstate_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/tcpstate"
	"github.com/seed96252745/relay/internal/transport"
)

const (
	// patience bounds every wait. Each ends long before, unless the code is wrong.
	patience = 10 * time.Second
	// grace is how long a test waits for what must not happen.
	grace = 30 * time.Millisecond
)

// pair returns a connection; the test plays the peer.
func pair(t *testing.T) (conn, peer *transport.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn, peer = transport.NewConn(accepted.(*net.TCPConn)), transport.NewConn(dialed.(*net.TCPConn))
	t.Cleanup(func() { _ = conn.Reset(); _ = peer.Reset() })
	return conn, peer
}

// The actions of a peer, and the state that each leads to.
var acts = []struct {
	name string
	do   func(t *testing.T, conn, peer *transport.Conn)
	want tcpstate.State
}{
	{"nothing", func(*testing.T, *transport.Conn, *transport.Conn) {}, tcpstate.Open},
	{"bytes", func(t *testing.T, _, peer *transport.Conn) { conntest.Write(t, peer, "220 ready\r\n") }, tcpstate.Open},
	{"nothing, after our own end", func(_ *testing.T, conn, _ *transport.Conn) { _ = conn.CloseWrite() }, tcpstate.Open},
	{"FIN", func(_ *testing.T, _, peer *transport.Conn) { _ = peer.CloseWrite() }, tcpstate.Ended},
	{"FIN behind bytes", func(t *testing.T, _, peer *transport.Conn) {
		conntest.Write(t, peer, "220 ready\r\n")
		_ = peer.CloseWrite()
	}, tcpstate.Ended},
	{"closed", func(_ *testing.T, _, peer *transport.Conn) { _ = peer.Close() }, tcpstate.Ended},
	{"RST", func(_ *testing.T, _, peer *transport.Conn) { _ = peer.Reset() }, tcpstate.Dead},
	{"RST behind bytes", func(t *testing.T, _, peer *transport.Conn) {
		conntest.Write(t, peer, "220 ready\r\n")
		_ = peer.Reset()
	}, tcpstate.Dead},
	{"RST behind FIN", func(_ *testing.T, _, peer *transport.Conn) {
		_ = peer.CloseWrite()
		_ = peer.Reset()
	}, tcpstate.Dead},
	{"RST, after our own end", func(_ *testing.T, conn, peer *transport.Conn) {
		_ = conn.CloseWrite()
		_ = peer.Reset()
	}, tcpstate.Dead},
}

func TestOf(t *testing.T) {
	for _, act := range acts {
		t.Run(act.name, func(t *testing.T) {
			conn, peer := pair(t)
			act.do(t, conn, peer)
			if got := tcpstate.Of(conn); got != act.want {
				t.Errorf("got state %d, want %d", got, act.want)
			}
		})
	}
}

func TestOfClosed(t *testing.T) {
	conn, _ := pair(t)
	_ = conn.Close()
	if got := tcpstate.Of(conn); got != tcpstate.Dead {
		t.Errorf("got state %d, want %d", got, tcpstate.Dead)
	}
}

// Connections whose state the kernel cannot report count as open, and are never
// touched.
func TestOtherConnections(t *testing.T) {
	one, other := net.Pipe()
	_ = other.Close()
	defer one.Close()
	conn, peer := pair(t)
	_ = peer.Close()
	for name, c := range map[string]net.Conn{"pipe": one, "bare TCP": conn.TCP()} {
		if got := tcpstate.Of(c); got != tcpstate.Open {
			t.Errorf("%s: got state %d, want %d", name, got, tcpstate.Open)
		}
		watcher(t).Start(c, tcpstate.Ended, func() { t.Errorf("%s: a watch fired", name) }).Stop()
	}
}

// watcher returns a Watcher that lives as long as the test.
func watcher(t *testing.T) *tcpstate.Watcher {
	t.Helper()
	w := &tcpstate.Watcher{}
	t.Cleanup(w.Close)
	return w
}

// watch starts a watch. The channel receives one value for each time it fires.
func watch(t *testing.T, conn net.Conn, until tcpstate.State) (*tcpstate.Watch, <-chan struct{}) {
	t.Helper()
	fired := make(chan struct{}, 10)
	return watcher(t).Start(conn, until, func() { fired <- struct{}{} }), fired
}

func wantFired(t *testing.T, fired <-chan struct{}) {
	t.Helper()
	select {
	case <-fired:
	case <-time.After(patience):
		t.Fatal("the watch does not fire")
	}
}

func wantQuiet(t *testing.T, fired <-chan struct{}) {
	t.Helper()
	select {
	case <-fired:
		t.Fatal("the watch fired")
	case <-time.After(grace):
	}
}

// A watch fires when its state is reached, whether that happened before the watch began
// or happens while it lasts, and leaves every byte where it is.
func TestWatch(t *testing.T) {
	for until, name := range map[tcpstate.State]string{tcpstate.Ended: "until ended, ", tcpstate.Dead: "until dead, "} {
		for _, act := range acts {
			t.Run(name+act.name, func(t *testing.T) {
				t.Parallel()
				for _, before := range []bool{true, false} {
					conn, peer := pair(t)
					if before {
						act.do(t, conn, peer)
					}
					w, fired := watch(t, conn, until)
					if !before {
						act.do(t, conn, peer)
					}
					if act.want >= until {
						wantFired(t, fired)
					}
					wantQuiet(t, fired) // or not again
					w.Stop()
					w.Stop()
					wantQuiet(t, fired)
				}
			})
		}
	}
}

// A watch sees later events too: bytes, more bytes, an end, a reset.
func TestWatchSeesLaterEvents(t *testing.T) {
	conn, peer := pair(t)
	w, fired := watch(t, conn, tcpstate.Dead)
	defer w.Stop()
	for range 5 {
		conntest.Write(t, peer, "220 ready\r\n")
		wantQuiet(t, fired)
	}
	_ = peer.CloseWrite()
	wantQuiet(t, fired)
	_ = peer.Reset()
	wantFired(t, fired)
}

func TestWatchLeavesTheBytes(t *testing.T) {
	conn, peer := pair(t)
	w, fired := watch(t, conn, tcpstate.Ended)
	conntest.Write(t, peer, "220 ready\r\n")
	_ = peer.CloseWrite()
	wantFired(t, fired)
	w.Stop()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "220 ready\r\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// After Stop the connection is as before: a read waits for the peer, without a
// deadline, and the watch is over.
func TestStop(t *testing.T) {
	for name, before := range map[string]string{"at once": "", "with bytes waiting": "x"} {
		t.Run(name, func(t *testing.T) {
			conn, peer := pair(t)
			conntest.Write(t, peer, before)
			w, fired := watch(t, conn, tcpstate.Ended)
			w.Stop()
			got := make(chan string)
			go func() {
				b := make([]byte, len(before)+len("hello"))
				if _, err := io.ReadFull(conn, b); err != nil {
					t.Errorf("reading after Stop: %v", err)
				}
				got <- string(b)
			}()
			wantQuiet(t, fired) // the reader probably waits by now
			conntest.Write(t, peer, "hello")
			if s := <-got; s != before+"hello" {
				t.Errorf("got %q", s)
			}
			_ = peer.CloseWrite()
			wantQuiet(t, fired)
		})
	}
}

// Stop and the event race, many times: either the watch has fired when Stop returns, or
// it never does. The connection can be read from.
func TestStopRace(t *testing.T) {
	for range 200 {
		conn, peer := pair(t)
		w, fired := watch(t, conn, tcpstate.Ended)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = peer.CloseWrite()
		}()
		w.Stop()
		already := len(fired)
		<-ended
		if b, err := io.ReadAll(conn); err != nil || len(b) > 0 {
			t.Fatalf("reading after Stop: %q, %v", b, err)
		}
		if later := len(fired); later != already {
			t.Fatal("the watch fired after Stop")
		}
		_, _ = conn.Reset(), peer.Reset()
	}
}

// Stop waits until fire has returned: its caller may then free whatever fire uses.
func TestStopWaitsForFire(t *testing.T) {
	conn, peer := pair(t)
	firing, release := make(chan struct{}), make(chan struct{})
	w := watcher(t).Start(conn, tcpstate.Ended, func() {
		close(firing)
		<-release
	})
	_ = peer.CloseWrite()
	<-firing
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		w.Stop()
	}()
	wantQuiet(t, stopped)
	close(release)
	<-stopped
}

// A watched connection may be closed or reset; Stop still returns.
func TestConnectionIsClosedUnderWatch(t *testing.T) {
	for name, end := range map[string]func(*transport.Conn) error{"Close": (*transport.Conn).Close, "Reset": (*transport.Conn).Reset} {
		t.Run(name, func(t *testing.T) {
			conn, _ := pair(t)
			w, _ := watch(t, conn, tcpstate.Dead)
			if err := end(conn); err != nil {
				t.Error(err)
			}
			w.Stop() // returns
		})
	}
}
