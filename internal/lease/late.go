package lease

import (
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

// lateListener is a listener on a port that another program has. It opens the port as
// soon as that program lets go of it.
type lateListener struct {
	number int
	listen func(port int) (conn.Listener, error)
	log    *slog.Logger
	since  time.Time
	logged sync.Once     // that the port is open
	open   chan struct{} // closed when the port is open
	closed chan struct{}

	mu      sync.Mutex    // guards what follows, and is never held for long: nothing of it waits
	on      conn.Listener // or nil
	closing bool
}

// Accept waits for the port to open, too.
func (l *lateListener) Accept() (conn.Conn, error) {
	for pause := minLatePause; !l.tryNow(); pause = min(2*pause, maxLatePause) {
		select {
		case <-time.After(pause):
		case <-l.open:
		case <-l.closed:
			return nil, net.ErrClosed
		}
	}
	l.logged.Do(func() {
		l.log.Info("leased port opened, which another program had", "port", l.number, "after", time.Since(l.since).Round(time.Millisecond).String())
	})
	return l.on.Accept() // nobody changes it any more
}

// tryNow opens the port, if it is free by now, and reports whether it is open.
func (l *lateListener) tryNow() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.on != nil || l.closing {
		return l.on != nil
	}
	on, err := l.listen(l.number)
	if err != nil {
		return false
	}
	l.on = on
	close(l.open)
	return true
}

// Addr has only the port until that is open.
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

// IsOpen reports whether users can reach a port of Ports. They cannot while another
// program has it, see [Ports.OpenLate]; IsOpen tries once more then, as its caller has
// the owner waiting.
func IsOpen(l conn.Listener) bool {
	late, isLate := l.(*lateListener)
	return !isLate || late.tryNow()
}

// Opened returns the listener that accepts for l, a listener of Ports, or nil while another
// program has the port.
func Opened(l conn.Listener) conn.Listener {
	late, isLate := l.(*lateListener)
	if !isLate {
		return l
	}
	late.mu.Lock()
	defer late.mu.Unlock()
	return late.on
}
