package join_test

import (
	"io"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/yamux"
)

func option(t *testing.T, fd, level, name int) int {
	t.Helper()
	n, err := unix.GetsockoptInt(fd, level, name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func unsent(t *testing.T, fd int) int {
	t.Helper()
	return option(t, fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
}

// What a crowd has taken from the sockets of a join comes back when the crowd is gone and
// much has moved: what they may hold unsent, and the locks of their buffers.
func TestBoundsComeBack(t *testing.T) {
	const sendLock = 1 // SOCK_SNDBUF_LOCK
	engine := engineOf(t, 1)
	_, most := engine.Stalled()
	engine.StallOthers(most + 1)
	s := &stalled{rig: newRig(t)}
	for side := range s.fds {
		s.fds[side] = descriptor(t, s.near[side])
	}
	if err := unix.SetsockoptInt(s.fds[join.A], unix.SOL_SOCKET, unix.SO_BUF_LOCK, sendLock); err != nil {
		t.Fatal(err)
	}
	engine.NewSet(nil).Join(s.ctx, s.near[join.A], s.near[join.B], join.Options{}, func(r join.Result) { s.result <- r })
	move := func(n int64) {
		t.Helper()
		sent := make(chan error, 1)
		go func() { _, err := io.CopyN(s.far[join.A], zeros{}, n); sent <- err }()
		if _, err := io.CopyN(io.Discard, s.far[join.B], n); err != nil {
			t.Fatal(err)
		}
		if err := await(t, sent); err != nil {
			t.Fatal(err)
		}
	}
	move(join.TrustAfter / 2)
	if n := unsent(t, s.fds[join.B]); n != join.CrowdedUnsent {
		t.Errorf("in a crowd a socket takes %d bytes that it cannot send, want %d", n, join.CrowdedUnsent)
	}
	if locked := option(t, s.fds[join.A], unix.SOL_SOCKET, unix.SO_BUF_LOCK); locked == sendLock {
		t.Error("in a crowd the buffer of a sender may grow")
	}
	engine.StallOthers(-most - 1)
	move(2 * join.TrustAfter)
	if n := unsent(t, s.fds[join.B]); n != join.MaxUnsent {
		t.Errorf("after a crowd a socket takes %d bytes that it cannot send, want %d", n, join.MaxUnsent)
	}
	if locked := option(t, s.fds[join.A], unix.SOL_SOCKET, unix.SO_BUF_LOCK); locked != sendLock {
		t.Errorf("after a crowd the lock of the buffers is %d, was %d", locked, sendLock)
	}
	if err := s.far[join.A].CloseWrite(); err != nil {
		t.Fatal(err)
	}
	s.end(t)
}

// A direction that has begun before the crowd came is bounded as well, unless much has moved.
func TestBoundsComeLate(t *testing.T) {
	engine := engineOf(t, 1)
	_, most := engine.Stalled()
	s := &stalled{rig: newRig(t)}
	for side := range s.fds {
		s.fds[side] = descriptor(t, s.near[side])
	}
	engine.NewSet(nil).Join(s.ctx, s.near[join.A], s.near[join.B], join.Options{}, func(r join.Result) { s.result <- r })
	for _, want := range []int{join.MaxUnsent, join.CrowdedUnsent} {
		portion := string(pattern(256 << 10))
		sent := make(chan struct{})
		go func() { defer close(sent); conntest.Write(t, s.far[join.A], portion) }()
		conntest.Read(t, s.far[join.B], len(portion))
		<-sent
		if n := unsent(t, s.fds[join.B]); n != want {
			t.Errorf("a socket takes %d bytes that it cannot send, want %d", n, want)
		}
		engine.StallOthers(most + 1)
	}
	if err := s.far[join.A].CloseWrite(); err != nil {
		t.Fatal(err)
	}
	s.end(t)
}

// The socket of a throttled join is bounded even if its other end is a stream.
func TestThrottledStreamIsBounded(t *testing.T) {
	engine := engineOf(t, 1)
	client, server := sessions(t, yamux.Config{})
	stream, peer := openStream(t, client, server)
	r := newRig(t)
	fd := descriptor(t, r.near[join.B])
	defer func() { _ = unix.Close(fd) }()
	engine.NewSet(nil).Join(r.ctx, stream, r.near[join.B], join.Options{Limiter: highLimit()}, func(result join.Result) { r.result <- result })
	portion := string(pattern(256 << 10))
	sent := make(chan struct{})
	go func() { defer close(sent); conntest.Write(t, peer, portion) }()
	conntest.Read(t, r.far[join.B], len(portion))
	<-sent
	r.cancel(nil)
	await(t, r.result)
	if n := unsent(t, fd); n != join.MaxUnsent {
		t.Errorf("a socket takes %d bytes that it cannot send, want %d", n, join.MaxUnsent)
	}
}
