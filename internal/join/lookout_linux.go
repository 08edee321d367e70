package join

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/conn"
)

// lookout does for a join that two goroutines copy what underWay does for those of
// a loop. It looks at the sockets below the connections, whatever stands on them.
// Its methods may be called concurrently.
type lookout struct {
	periods periods
	gone    func(Side) // called when a peer has vanished, and then nothing more
	armed   atomic.Bool
	writers atomic.Int32 // how many directions are in the middle of a write

	mu    sync.Mutex // guards what follows
	ends  [2]lookedAt
	timer *time.Timer
	ended bool
	dead  error // why it has ended by itself, and whose end it was
	whose Side
}

// lookedAt is one of the two ends.
type lookedAt struct {
	socket conn.Controller // or nil
	peer   peer
}

func newLookout(a, b conn.Conn, p periods, gone func(Side)) *lookout {
	l := &lookout{periods: p, gone: gone}
	l.ends[A].socket, _ = conn.As[conn.Controller](a)
	l.ends[B].socket, _ = conn.As[conn.Controller](b)
	return l
}

// beginWrite and endWrite are called around what is written to either end. A write
// may take its time, and rest between two portions.
func (l *lookout) beginWrite() {
	l.writers.Add(1)
	l.wrote()
}

func (l *lookout) endWrite() { l.writers.Add(-1) }

// wrote has the ends looked at.
func (l *lookout) wrote() {
	if l.armed.Load() || l.armed.Swap(true) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.startLocked()
}

func (l *lookout) startLocked() {
	if !l.ended {
		l.timer = time.AfterFunc(l.periods.lookEvery, l.look)
	}
}

// look looks at both ends, and goes on as long as something is under way.
func (l *lookout) look() {
	side, found := l.lookOnce()
	if found == vanished {
		l.gone(side)
	}
}

// lookOnce gives what is worst.
func (l *lookout) lookOnce() (side Side, worst outlook) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return A, atRest
	}
	l.armed.Store(false) // for whoever writes from now on
	if l.writers.Load() > 0 {
		worst = onItsWay // asked first, as they may be done by the time that is looked
	}
	for s := range l.ends {
		if found := l.ends[s].look(l.periods.silence); found > worst {
			side, worst = Side(s), found
		}
	}
	switch worst {
	case onItsWay:
		if !l.armed.Swap(true) {
			l.startLocked()
		}
	case vanished:
		l.ended, l.dead, l.whose = true, ErrDead, side
	}
	return side, worst
}

func (e *lookedAt) look(silence time.Duration) (found outlook) {
	if e.socket != nil {
		_ = e.socket.Control(func(fd uintptr) { found = e.peer.look(int(fd), silence) }) // fails only when closed
	}
	return found
}

// settle waits, after an orderly end, while a peer has closed its window to some of
// what was written or the way to it loses that: see loopJoin.holds. It gives why the
// join ends otherwise than orderly, and whose doing that is: ctx is done, a peer has
// vanished, or none has taken anything for as long as that may be.
func (l *lookout) settle(ctx context.Context) (Side, error) {
	least, since := -1, time.Now()
	for {
		side, left, err := l.left()
		switch {
		case err != nil || left == 0:
			return side, err
		case left != least:
			least, since = left, time.Now()
		case time.Since(since) >= l.periods.standstill:
			return side, ErrNoProgress
		}
		timer := time.NewTimer(l.periods.lookEvery)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return A, stopped{context.Cause(ctx)}
		}
	}
}

// left is how many bytes there are to wait for, and for whom.
func (l *lookout) left() (whose Side, n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return l.whose, 0, l.dead
	}
	for s := range l.ends {
		if socket := l.ends[s].socket; socket != nil {
			_ = socket.Control(func(fd uintptr) { // as above
				if stuck(int(fd)) {
					whose = Side(s)
					n += queued(int(fd))
				}
			})
		}
	}
	return whose, n, nil
}

// end ends the looking. What is left is the kernel's.
func (l *lookout) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.timer != nil {
		l.timer.Stop()
	}
	for s := range l.ends {
		if e := &l.ends[s]; e.socket != nil && e.peer.patient {
			_ = e.socket.Control(func(fd uintptr) { e.peer.leaveToKernel(int(fd)) }) // as above
		}
	}
}
