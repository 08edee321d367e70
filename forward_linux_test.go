package relay_test

import (
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/relaytest"
)

// mute is a listener to which nobody can connect until it is told so: its queue is full, and
// the kernel drops further requests.
func mute(t *testing.T) (l net.Listener, answer func()) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	setQueue := func(n int) {
		var err error
		_ = raw.Control(func(fd uintptr) { err = unix.Listen(int(fd), n) })
		if err != nil {
			t.Fatalf("listen: %v", err)
		}
	}
	setQueue(0) // which holds one
	first, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = first.Close() })
	return l, func() {
		_ = first.Close()
		setQueue(4096)
	}
}

// If the local server does not accept while the relay sends users, the number of connections
// that the forwarder opens is bounded. Further users wait, and none is lost.
func TestForwardBoundsDials(t *testing.T) {
	const users, mostDials = 400, 256
	local, answer := mute(t)
	log := newLogger("")
	public := forward(t, relaytest.Start(t).Addr(), local.Addr().String(), &relay.Options{Logger: slog.New(log)})
	var running sync.WaitGroup
	errs := make(chan error, users)
	for range users {
		running.Go(func() { errs <- greeted(public) })
	}
	for since := time.Now(); !log.has("the local server takes long to answer; users have to wait"); <-time.After(time.Millisecond) {
		if time.Since(since) > patience {
			t.Fatal("nothing was logged about a local server that takes long")
		}
	}
	// Users who are connecting to the relay are done soon; the others are not.
	for since := time.Now(); ; <-time.After(time.Millisecond) {
		n := connecting(t)
		if n <= mostDials+1 { // and the one that has to wait
			break
		}
		if time.Since(since) > patience {
			t.Fatalf("%d connections are being opened at a time, want %d at most", n, mostDials)
		}
	}
	answer()
	serveGreeting(t, local)
	running.Wait()
	close(errs)
	lost := 0
	for err := range errs {
		if err != nil {
			lost++
			t.Log(err)
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d users were lost", lost, users)
	}
}

func (l *logger) has(message string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records {
		if r.Message == message {
			return true
		}
	}
	return false
}

// connecting counts the sockets of the process whose connection has not been answered.
func connecting(t *testing.T) (n int) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	const synSent = 2
	for fd := range int(min(limit.Cur, 20_000)) {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil && info.State == synSent {
			n++
		}
	}
	return n
}
