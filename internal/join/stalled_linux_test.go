package join_test

import (
	"bytes"
	"io"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/transport"
)

// held returns what a socket holds (SO_MEMINFO): bytes that wait to be read, and to be sent,
// with what the kernel adds to them.
func held(t *testing.T, fd int) (received, written int) {
	t.Helper()
	const receivedAt, writtenAt, figures = 0, 5, 9 // SK_MEMINFO_RMEM_ALLOC, _WMEM_QUEUED, _VARS
	var info [figures]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		t.Fatal(errno)
	}
	return int(info[receivedAt]), int(info[writtenAt])
}

func receiveBuffer(t *testing.T, fd int) int {
	t.Helper()
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// stalled is a join whose receiver does not read.
type stalled struct {
	*rig
	fds    [2]int // of what is joined
	buffer int    // of the first one, before the join
	taken  int64  // from the sender
}

// stall runs a join on an engine until nothing moves from the first to the second
// connection any more.
func stall(t *testing.T, engine *join.Engine, o join.Options) *stalled {
	t.Helper()
	s := &stalled{rig: newRig(t)}
	for side := range s.fds {
		s.fds[side] = descriptor(t, s.near[side])
	}
	s.buffer = receiveBuffer(t, s.fds[join.A])
	engine.NewSet(nil).Join(s.ctx, s.near[join.A], s.near[join.B], o, func(r join.Result) { s.result <- r })
	s.taken = holdUp(t, s.far[join.A])
	renew(t, s.far)
	return s
}

// finish ends the sender, and reads everything. Before that, it writes more than that and
// waits until the receiver has it.
func (s *stalled) finish(t *testing.T, more int) {
	t.Helper()
	sent := make(chan error, 1)
	go func() {
		_, err := s.far[join.A].Write(pattern(more))
		if err == nil {
			err = s.far[join.A].CloseWrite()
		}
		sent <- err
	}()
	chunk := pattern(64 << 10)
	for left := s.taken; left > 0; left -= int64(len(chunk)) {
		chunk = chunk[:min(left, int64(len(chunk)))]
		wantBytes(t, s.far[join.B], chunk)
	}
	wantBytes(t, s.far[join.B], pattern(more))
	if err := await(t, sent); err != nil {
		t.Fatal(err)
	}
	if n, err := s.far[join.B].Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("read %d bytes behind the last one, %v", n, err)
	}
}

func wantBytes(t *testing.T, from *transport.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(from, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("other bytes have come than were sent")
	}
}

// end ends the join.
func (s *stalled) end(t *testing.T) {
	t.Helper()
	for _, fd := range s.fds {
		_ = unix.Close(fd)
	}
	if err := s.far[join.B].CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if r := await(t, s.result); r.Err != nil {
		t.Error(r.Err)
	}
}

func engineOf(t *testing.T, tcpMemory int64) *join.Engine {
	t.Helper()
	engine, err := join.NewEngineOf(tcpMemory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(engine.Close)
	return engine
}

// The kernel holds little for a receiver that does not read, and all of it arrives when it
// does. While there is a crowd it is less, until so much has moved that it is not stalled.
func TestStalledJoinHoldsLittle(t *testing.T) {
	const plenty, smallest = 1 << 50, 1
	for _, way := range []struct {
		name    string
		options join.Options
	}{{"sockets", join.Options{}}, {"copies", join.Options{Limiter: highLimit()}}} {
		t.Run(way.name, func(t *testing.T) {
			s := stall(t, engineOf(t, plenty), way.options)
			// What may not be sent yet, what a segment of loopback adds, and what is on its way.
			if _, written := held(t, s.fds[join.B]); written > 512<<10 {
				t.Errorf("%d bytes are held for a receiver that does not read", written)
			}
			s.finish(t, 1)
			s.end(t)
		})
		t.Run(way.name+" in a crowd", func(t *testing.T) {
			engine := engineOf(t, smallest)
			_, most := engine.Stalled()
			engine.StallOthers(most + 1)
			s := stall(t, engine, way.options)
			if now := receiveBuffer(t, s.fds[join.A]); now != s.buffer {
				t.Errorf("the buffer of a sender is %d, and was %d at first", now, s.buffer)
			}
			if received, _ := held(t, s.fds[join.A]); received > s.buffer+s.buffer/2 {
				t.Errorf("%d bytes are held of a sender that has a buffer of %d", received, s.buffer)
			}
			if _, written := held(t, s.fds[join.B]); written > 256<<10 {
				t.Errorf("%d bytes are held for a receiver that does not read", written)
			}
			engine.StallOthers(-most - 1)
			s.finish(t, join.TrustAfter)
			if now := receiveBuffer(t, s.fds[join.A]); now < 2*s.buffer {
				t.Errorf("the buffer of a sender whose bytes move is %d, and was %d", now, s.buffer)
			}
			s.end(t)
		})
	}
}

// wantStalled waits until so many directions are stalled.
func wantStalled(t *testing.T, engine *join.Engine, want int64) {
	t.Helper()
	n, _ := engine.Stalled()
	for limit := time.Now().Add(patience); n != want; n, _ = engine.Stalled() {
		if time.Now().After(limit) {
			t.Fatalf("%d are stalled, want %d", n, want)
		}
		pass(time.Millisecond)
	}
}

// Each direction that is stalled counts until it moves or ends, and while too many are,
// connections to a local server have small segments.
func TestStalledJoinsCount(t *testing.T) {
	engine := engineOf(t, 1)
	_, most := engine.Stalled()
	var all []*stalled
	for range most + 1 {
		all = append(all, stall(t, engine, join.Options{}))
	}
	wantStalled(t, engine, most+1)
	if !bounded(t, engine) {
		t.Error("the segments of a new connection are not bounded")
	}
	all[0].finish(t, 1)
	_ = all[1].far[join.B].Reset()
	_ = await(t, all[1].result)
	wantStalled(t, engine, most-1)
	if bounded(t, engine) {
		t.Error("the segments of a new connection are bounded")
	}
	all[0].end(t)
	for _, s := range all[1:] {
		for _, fd := range s.fds {
			_ = unix.Close(fd)
		}
		s.cancel(nil)
	}
	for _, s := range all[2:] {
		_ = await(t, s.result)
	}
	wantStalled(t, engine, 0)
}

// bounded reports whether the engine bounds the segments of a new connection.
func bounded(t *testing.T, engine *join.Engine) bool {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	usual, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG)
	if err != nil {
		t.Fatal(err)
	}
	engine.PrepareLocal(fd)
	now, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG)
	if err != nil {
		t.Fatal(err)
	}
	return now != usual
}
