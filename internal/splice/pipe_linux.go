package splice

import (
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	// pipeSize is what a pipe is made to hold. Larger ones did not measurably
	// help; a process without privileges may have 64 MiB of them.
	pipeSize = 256 << 10
	// minPipe is the least size that is worth it. The kernel makes smaller ones
	// when the user's share is used up.
	minPipe = 64 << 10
	// maxPipes bounds the pipes that are held by receivers who do not read. The
	// others copy.
	maxPipes = 256
)

const flags = unix.SPLICE_F_MOVE | unix.SPLICE_F_NONBLOCK

// Pipe is a kernel pipe between two sockets. It may not be used concurrently.
type Pipe struct {
	out, in int // descriptors, to read from and to write to
	size    int
	holds   int // bytes in it
	cleanup runtime.Cleanup
}

// pipes holds empty pipes. The garbage collector closes those that are not
// needed any more, as it does for the pipes of package net.
var (
	pipes sync.Pool
	held  atomic.Int32
)

// Take gives an empty pipe, or nil if there is none to be had.
func Take() *Pipe {
	if held.Add(1) > maxPipes {
		held.Add(-1)
		return nil
	}
	p, ok := pipes.Get().(*Pipe)
	if !ok {
		p = newPipe()
	}
	if p == nil {
		held.Add(-1)
	}
	return p
}

// newPipe makes a pipe, or gives nil if descriptors or pipe buffers are short.
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

// GiveBack puts the pipe back for others; one that still holds bytes is closed.
func (p *Pipe) GiveBack() {
	held.Add(-1)
	if p.holds == 0 {
		pipes.Put(p)
		return
	}
	p.cleanup.Stop()
	closePipe([2]int{p.out, p.in})
}

// Len is how many bytes the pipe holds.
func (p *Pipe) Len() int { return p.holds }

// Fill moves up to limit bytes from a socket into the empty pipe. Like a read it
// gives 0 and no error at the end. It stops at urgent data with EAGAIN, as though
// there were none; only a read gets over that.
func (p *Pipe) Fill(socket, limit int) (n int, err error) {
	for {
		moved, err := unix.Splice(socket, nil, p.in, nil, min(p.size, limit), flags)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, err
		}
		p.holds += int(moved)
		return int(moved), nil
	}
}

// Pour moves what the pipe holds to a socket, until that would block, which is
// EAGAIN.
func (p *Pipe) Pour(socket int) (n int, err error) {
	for p.holds > 0 {
		moved, err := unix.Splice(p.out, nil, socket, nil, p.holds, flags)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return n, err
		}
		p.holds -= int(moved)
		n += int(moved)
	}
	return n, nil
}
