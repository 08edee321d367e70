package transport_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/transport"
)

// fullListener returns a listener that answers no SYN until it has accepted the
// connection that fills its queue.
func fullListener(t *testing.T, at string) (l net.Listener, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { _ = unix.Listen(int(fd), 0) }) // room for one
	}
	if err != nil {
		t.Fatal(err)
	}
	first, err := net.DialTimeout("tcp", l.Addr().String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = first.Close() })
	return l, l.Addr().String()
}

// waitForSYN waits until a socket waits for the answer to a SYN.
func waitForSYN(t *testing.T, addr string) {
	t.Helper()
	for limit := time.Now().Add(patience); time.Now().Before(limit); runtime.Gosched() {
		if hasSentSYN(t, addr) {
			return
		}
	}
	t.Fatal("no socket connects")
}

// hasSentSYN reports whether a socket waits for the answer to a SYN.
func hasSentSYN(t *testing.T, addr string) bool {
	t.Helper()
	to := netip.MustParseAddrPort(addr)
	ip := to.Addr().As4()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(table), fmt.Sprintf("%08X:%04X 02", binary.NativeEndian.Uint32(ip[:]), to.Port()))
}

// If one of localhost's two addresses does not answer, the other one is reached.
func TestDialPassesSilence(t *testing.T) {
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skipf("this machine has no IPv6: give its loopback interface the address ::1 (%v)", err)
	} else {
		_ = l.Close()
	}
	var silent, l net.Listener
	var port string
	for l == nil { // until a port of the one address is free at the other, too
		var addr string
		var err error
		silent, addr = fullListener(t, "[::1]:0")
		_, port, _ = net.SplitHostPort(addr)
		l, err = net.Listen("tcp4", net.JoinHostPort("127.0.0.1", port))
		if err != nil && !errors.Is(err, unix.EADDRINUSE) {
			t.Fatal(err)
		}
	}
	defer l.Close()
	conn, err := transport.DialRelay(background, "localhost:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Reset() }()
	if got := conn.RemoteAddr().String(); got != l.Addr().String() {
		t.Errorf("it is connected to %s, and %s says nothing", got, silent.Addr())
	}
}

// Of a name's addresses one refuses and one does not answer; the third is reached.
func TestDialAddrs(t *testing.T) {
	_, silent := fullListener(t, "127.0.0.2:0")
	_, port, _ := net.SplitHostPort(silent)
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.3", port))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addrs := addrPorts("127.0.0.4:" + port + " " + silent + " " + l.Addr().String())
	c, err := transport.DialAddrs(background, addrs)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Reset() }()
	if got := c.RemoteAddr().String(); got != l.Addr().String() {
		t.Errorf("it is connected to %s, want %s", got, l.Addr())
	}
	checkOptions(t, c, every)
	ctx, cancel := context.WithTimeout(t.Context(), grace)
	defer cancel()
	if c, err := transport.DialAddrs(ctx, addrs[:2]); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("got %v and %v, want the first error, %v", c, err, unix.ECONNREFUSED)
	}
}

// A connection that takes a while to be established is like any other.
func TestDialWaits(t *testing.T) {
	l, addr := fullListener(t, "127.0.0.1:0")
	type dialled struct {
		conn conn.Conn
		err  error
	}
	result := make(chan dialled, 1)
	go func() {
		conn, err := transport.DialRelay(background, addr)
		result <- dialled{conn, err}
	}()
	waitForSYN(t, addr)
	first, err := l.Accept() // the next SYN, a second later, finds room
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	got := <-result
	if got.err != nil {
		t.Fatal(got.err)
	}
	defer got.conn.Close()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if got.conn.RemoteAddr().String() != addr || got.conn.LocalAddr().String() != accepted.RemoteAddr().String() {
		t.Errorf("the connection is from %v to %v, not from %v to %s",
			got.conn.LocalAddr(), got.conn.RemoteAddr(), accepted.RemoteAddr(), addr)
	}
	checkOptions(t, got.conn, every)
	if _, err := accepted.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if n, err := got.conn.Read(make([]byte, 2)); n != 1 || err != nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

func TestDialIsCancelledWhileItWaits(t *testing.T) {
	_, addr := fullListener(t, "127.0.0.1:0")
	ctx, cancel := context.WithTimeout(t.Context(), grace)
	defer cancel()
	if conn, err := transport.DialLocal(ctx, addr); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, %v; want %v", conn, err, context.DeadlineExceeded)
	}
}

// A dial that was begun is given up by a wait that may not wait any more.
func TestStartedDialIsGivenUp(t *testing.T) {
	_, addr := fullListener(t, "127.0.0.1:0")
	conn, wait := transport.StartRelay(addr)
	if conn != nil || !hasSentSYN(t, addr) {
		t.Fatalf("got %v, which took no waiting", conn)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if conn, err := wait(ctx); conn != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v; want %v", conn, err, context.Canceled)
	}
	if hasSentSYN(t, addr) {
		t.Error("its socket still connects")
	}
}

// The local server may be listening on either of the addresses of localhost,
// and finding out takes no waiting.
func TestStartLocalhost(t *testing.T) {
	for name, host := range map[string]string{"IPv4": "127.0.0.1", "IPv6": "[::1]"} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", host+":0")
			if err != nil && name == "IPv6" {
				t.Skipf("this machine has no IPv6: give its loopback interface the address ::1 (%v)", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			_, port, _ := net.SplitHostPort(l.Addr().String())
			conn, wait := transport.StartLocal("localhost:"+port, nil)
			if conn == nil {
				conn, err = wait(t.Context())
				t.Fatalf("had to wait for %v, %v", conn, err)
			}
			defer conn.Close()
			if got := conn.RemoteAddr().String(); got != l.Addr().String() {
				t.Errorf("connected to %s, not to %s", got, l.Addr())
			}
		})
	}
}

func TestStartLocalWhereNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	conn, wait := transport.StartLocal("localhost:"+port, nil)
	if conn != nil {
		t.Fatalf("connected to %v", conn.RemoteAddr())
	}
	if conn, err := wait(t.Context()); conn != nil || !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("got %v, %v; want %v", conn, err, unix.ECONNREFUSED)
	}
}

// A connection to a name is none of the runtime's poller's either, so that an event loop
// takes it as it is.
func TestDialName(t *testing.T) {
	l, err := transport.ListenRelayClients("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	c, err := transport.DialRelay(background, "0.0.0.0:"+port) // which is left to the net package, as names are
	if err != nil {
		t.Fatal(err)
	}
	defer c.Reset()
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Reset()
	if got := c.RemoteAddr().String(); got != "127.0.0.1:"+port {
		t.Errorf("connected to %s", got)
	}
	if !conn.TryWrite(c, []byte("hello")) {
		t.Error("it has to wait for the poller")
	}
	conntest.WantRead(t, peer, "hello")
	conntest.WantPair(t, c, peer)
}
