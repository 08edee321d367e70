package splice

import (
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	// pipeSize is the size that is requested for a pipe. Larger ones did not measurably
	// help; a process without privileges may have 64 MiB of them.
	pipeSize = 256 << 10
	// minPipe is the smallest size worth using. The kernel makes smaller ones when the
	// user's share is used up.
	minPipe = 64 << 10
	// maxPipes bounds the pipes that receivers hold who do not read. Others then copy.
	maxPipes = 256
)

const flags = unix.SPLICE_F_MOVE | unix.SPLICE_F_NONBLOCK

// Pipe is a kernel pipe between two sockets. It may not be used concurrently.
type Pipe struct {
	out, in  int // descriptors, to read from and to write to
	size     int
	buffered int // bytes in it
	cleanup  runtime.Cleanup
}

// pipePool holds empty pipes. The garbage collector closes unused ones, as it does for
// the pipes of package net.
var (
	pipePool sync.Pool
	inUse    atomic.Int32
)

// GetPipe returns an empty pipe, or nil if none is available.
func GetPipe() *Pipe {
	if inUse.Add(1) > maxPipes {
		inUse.Add(-1)
		return nil
	}
	p, ok := pipePool.Get().(*Pipe)
	if !ok {
		p = newPipe()
	}
	if p == nil {
		inUse.Add(-1)
	}
	return p
}

// newPipe returns a new pipe, or nil if descriptors or pipe buffers are short.
func newPipe() *Pipe {
	var fds [2]int
	if unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		return nil
	}
	_, _ = unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, pipeSize) // it may keep the size that it has
	size, err := unix.FcntlInt(uintptr(fds[0]), unix.F_GETPIPE_SZ, 0)
	if err != nil || size < minPipe {
		closePipe(fds)
		return nil
	}
	p := &Pipe{out: fds[0], in: fds[1], size: size}
	p.cleanup = runtime.AddCleanup(p, closePipe, fds)
	return p
}

func closePipe(fds [2]int) {
	_ = unix.Close(fds[0])
	_ = unix.Close(fds[1])
}

// Release returns the pipe to the pool; a pipe that still holds bytes is closed.
func (p *Pipe) Release() {
	inUse.Add(-1)
	if p.buffered == 0 {
		pipePool.Put(p)
		return
	}
	p.cleanup.Stop()
	closePipe([2]int{p.out, p.in})
}

// Len returns how many bytes the pipe holds.
func (p *Pipe) Len() int { return p.buffered }

// Fill moves up to limit bytes from a socket into the empty pipe. Like a read it
// returns 0 and no error at the end. At urgent data it stops with EAGAIN, as if nothing
// were there; only a read gets past that.
func (p *Pipe) Fill(socket, limit int) (n int, err error) {
	for {
		moved, err := unix.Splice(socket, nil, p.in, nil, min(p.size, limit), flags)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, err
		}
		p.buffered += int(moved)
		return int(moved), nil
	}
}

// Pour moves the content of the pipe to a socket, until that would block, which is
// EAGAIN.
func (p *Pipe) Pour(socket int) (n int, err error) {
	for p.buffered > 0 {
		moved, err := unix.Splice(p.out, nil, socket, nil, p.buffered, flags)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return n, err
		}
		p.buffered -= int(moved)
		n += int(moved)
	}
	return n, nil
}
