package join

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/conn"
)

// deadPeerDetector does for a copied join what a checkList does for those of a loop. It
// checks the sockets below the connections, whatever stands on them. Its methods may be
// called concurrently.
type deadPeerDetector struct {
	periods periods
	onDead  func(Side) // called when a peer is dead, and then nothing more
	armed   atomic.Bool
	writers atomic.Int32 // how many directions are in the middle of a write

	mu    sync.Mutex // guards what follows
	ends  [2]checkedEnd
	timer *time.Timer
	ended bool
	err   error // why it has ended by itself, and which side's fault that was
	side  Side
}

// checkedEnd is one of the two ends.
type checkedEnd struct {
	socket conn.Controller // or nil
	peer   peer
}

func newDeadPeerDetector(a, b conn.Conn, p periods, onDead func(Side)) *deadPeerDetector {
	d := &deadPeerDetector{periods: p, onDead: onDead}
	d.ends[A].socket, _ = conn.As[conn.Controller](a)
	d.ends[B].socket, _ = conn.As[conn.Controller](b)
	return d
}

// beginWrite and endWrite are called around each write to either end. A write
// may take its time, and rest between two portions.
func (d *deadPeerDetector) beginWrite() {
	d.writers.Add(1)
	d.arm()
}

func (d *deadPeerDetector) endWrite() { d.writers.Add(-1) }

// arm has the ends checked.
func (d *deadPeerDetector) arm() {
	if d.armed.Load() || d.armed.Swap(true) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.startLocked()
}

func (d *deadPeerDetector) startLocked() {
	if !d.ended {
		d.timer = time.AfterFunc(d.periods.checkInterval, d.check)
	}
}

// check checks both ends, and arms the detector again if data is unacknowledged.
func (d *deadPeerDetector) check() {
	side, found := d.checkOnce()
	if found == peerDead {
		d.onDead(side)
	}
}

// checkOnce returns the worse of the two results.
func (d *deadPeerDetector) checkOnce() (side Side, worst delivery) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		return A, acknowledged
	}
	d.armed.Store(false) // for writes from now on
	if d.writers.Load() > 0 {
		worst = pending // asked first, as they may be done by the time of the check
	}
	for s := range d.ends {
		if found := d.ends[s].check(d.periods.silence); found > worst {
			side, worst = Side(s), found
		}
	}
	switch worst {
	case pending:
		if !d.armed.Swap(true) {
			d.startLocked()
		}
	case peerDead:
		d.ended, d.err, d.side = true, ErrDead, side
	}
	return side, worst
}

// withSockets calls f with the descriptors of both sockets, or -1 for one that is closed or
// that is none.
func (d *deadPeerDetector) withSockets(f func(fds [2]int)) {
	fds := [2]int{-1, -1}
	d.withSocket(A, &fds, func() { d.withSocket(B, &fds, func() { f(fds) }) })
}

// withSocket calls f while the descriptor of that side is in fds.
func (d *deadPeerDetector) withSocket(side Side, fds *[2]int, f func()) {
	socket := d.ends[side].socket
	if socket == nil || socket.Control(func(fd uintptr) { fds[side] = int(fd); f() }) != nil {
		f() // fails, without a call, only when closed
	}
}

func (e *checkedEnd) check(silence time.Duration) (found delivery) {
	if e.socket != nil {
		_ = e.socket.Control(func(fd uintptr) { found = e.peer.check(int(fd), silence) }) // fails only when closed
	}
	return found
}

// awaitDelivery waits, after an orderly end, while a peer has closed its window to some
// of what was written or the path loses that: see loopJoin.hasStuckBytes. It returns why
// the join does not end in order, and which side is at fault: ctx is done, a peer is
// dead, or none has taken anything for as long as that may be.
func (d *deadPeerDetector) awaitDelivery(ctx context.Context) (Side, error) {
	least, since := -1, time.Now()
	for {
		side, n, err := d.undelivered()
		switch {
		case err != nil || n == 0:
			return side, err
		case n != least:
			least, since = n, time.Now()
		case time.Since(since) >= d.periods.standstill:
			return side, ErrNoProgress
		}
		timer := time.NewTimer(d.periods.checkInterval)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return A, stopped{context.Cause(ctx)}
		}
	}
}

// undelivered returns how many bytes there are to wait for, and on which side.
func (d *deadPeerDetector) undelivered() (side Side, n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		return d.side, 0, d.err
	}
	for s := range d.ends {
		if socket := d.ends[s].socket; socket != nil {
			_ = socket.Control(func(fd uintptr) { // as above
				if isStuck(int(fd)) {
					side = Side(s)
					n += queued(int(fd))
				}
			})
		}
	}
	return side, n, nil
}

// stop ends the checks, and leaves unacknowledged data to the kernel.
func (d *deadPeerDetector) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	if d.timer != nil {
		d.timer.Stop()
	}
	for s := range d.ends {
		if e := &d.ends[s]; e.socket != nil && e.peer.userTimeout {
			_ = e.socket.Control(func(fd uintptr) { e.peer.resetUserTimeout(int(fd)) }) // as above
		}
	}
}
