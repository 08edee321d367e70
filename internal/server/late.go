package server

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/conn"
)

// Pauses between tries to open a port that another program has, which most often lets
// go of it within seconds. With all ports of the default range in such hands, a try
// each 5 s for each of them costs some hundredths of a processor.
const (
	minLatePause = 250 * time.Millisecond
	maxLatePause = 5 * time.Second
)

// errNotOpen is what the owner is told of a port that is its own, and not open yet.
var errNotOpen = errors.New("your port is not open yet, as another program has it; the relay tries on, so try again")

// lateListener is a Listener on a port that another program has, and that is opened as
// soon as that lets go of it.
type lateListener struct {
	number int
	listen func(port int) (Listener, error)
	log    *slog.Logger
	since  time.Time
	open   chan struct{} // closed when the port is open
	closed chan struct{}

	mu      sync.Mutex // guards what follows, and is never held for long: nothing of it waits
	on      Listener   // or nil
	closing bool
}

func newLateListener(number int, listen func(port int) (Listener, error), log *slog.Logger) *lateListener {
	return &lateListener{
		number: number, listen: listen, log: log, since: time.Now(),
		open: make(chan struct{}), closed: make(chan struct{}),
	}
}

// Accept waits for the port to open, too.
func (l *lateListener) Accept() (conn.Conn, error) {
	for pause := minLatePause; !l.tryNow(); pause = min(2*pause, maxLatePause) {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-l.open:
			timer.Stop()
		case <-l.closed:
			timer.Stop()
			return nil, net.ErrClosed
		}
	}
	return l.on.Accept() // nobody changes it any more
}

// tryNow opens the port, if it can be had by now, and reports whether it is open.
func (l *lateListener) tryNow() bool {
	isOpen, first := l.try()
	if first {
		l.log.Info("leased port opened, which another program had", "port", l.number, "after", time.Since(l.since).Round(time.Millisecond).String())
	}
	return isOpen
}

// try is tryNow, and reports whether the port was opened just now.
func (l *lateListener) try() (isOpen, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.on != nil || l.closing {
		return l.on != nil, false
	}
	on, err := l.listen(l.number)
	if err != nil {
		return false, false
	}
	l.on = on
	close(l.open)
	return true, true
}

// Addr has no more than the port until that is open.
func (l *lateListener) Addr() net.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.on != nil {
		return l.on.Addr()
	}
	return &net.TCPAddr{Port: l.number}
}

// Close ends the tries, and closes the port if it is open.
func (l *lateListener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return net.ErrClosed
	}
	l.closing = true
	close(l.closed)
	if l.on != nil {
		return l.on.Close()
	}
	return nil
}

// isOpen reports whether users can reach the port, which is so unless another program
// had it when it was restored. Who asks is the owner, who is there: it is tried once
// more.
func (p *publicPort) isOpen() bool {
	late, isLate := p.listener.(*lateListener)
	return !isLate || late.tryNow()
}
