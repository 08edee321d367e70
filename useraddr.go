package relay

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/proxyproto"
	"github.com/seed96252745/relay/internal/wire"
)

const (
	// headerTimeout is how long the rest of a header may take once it has begun.
	// The relay sends it in one piece.
	headerTimeout = 10 * time.Second

	// maxUnaccepted bounds the connections that have no header yet, or have not
	// been accepted since. Even the largest pool waits for its users in half of
	// them: the others are for users who have come, and for whom a connection
	// waits in the pool's place already.
	maxUnaccepted = 2 * MaxPoolSize

	// noticeInterval is how often it is logged what the relay says of its limits. It
	// says so half as often.
	noticeInterval = 5 * time.Second

	// acceptWait is how long a user who is one too many waits for a place among
	// those; the relay has users wait for as long. Whoever waits for a user's place
	// does not see that the relay is lost.
	acceptWait = 10 * time.Second
)

// taker takes connections over from userAddrs.
type taker interface {
	// take is a protocol.Acceptor.
	take(registered context.Context, conn conn.Conn)
	// takeNow is take for a caller who cannot wait. It gives false if it would.
	takeNow(conn conn.Conn) bool
	// whenReadable has f called once when there is something to read, by somebody
	// who cannot wait. Stop ends that. It is nil if conn cannot be watched, and
	// has to be waited for.
	whenReadable(conn conn.Conn, f func()) (stop func())
}

// userAddrs stands before a taker while the relay puts a header with the user's
// address in front of each connection. It reads the header, and hands the
// connection on as one that comes from the user. With Pool that is when the user
// comes, and no sooner.
type userAddrs struct {
	next    taker
	log     *slog.Logger
	events  observe.Sink
	often   rate.Sometimes // to log that headers fail
	full    rate.Sometimes // to log that nobody accepts
	excess  rate.Sometimes // to log that the relay has met a limit
	slots   chan struct{}  // holds one for each connection that has not been taken
	reading sync.WaitGroup
	order   order
	came    atomic.Bool // a user has
}

func newUserAddrs(next taker, log *slog.Logger) *userAddrs {
	return &userAddrs{
		next:   next,
		log:    log,
		events: &observe.Log{Logger: log},
		often:  rate.Sometimes{First: 1, Interval: localLogInterval},
		full:   rate.Sometimes{First: 1, Interval: localLogInterval},
		excess: rate.Sometimes{First: 1, Interval: noticeInterval},
		slots:  make(chan struct{}, maxUnaccepted),
	}
}

// accepted is the acceptor for connections with headers. When registered is done
// it resets those that have not been handed on.
func (u *userAddrs) accepted(registered context.Context, conn conn.Conn) {
	if !u.enter(registered) {
		_ = conn.Reset()
		return
	}
	u.reading.Add(1)
	u.begin(&introduction{userAddrs: u, registered: registered, conn: conn})
}

// enter waits for a place among those that have not been taken, not too long.
func (u *userAddrs) enter(registered context.Context) bool {
	select {
	case u.slots <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(acceptWait)
	defer timer.Stop()
	select {
	case u.slots <- struct{}{}:
		return true
	case <-registered.Done():
	case <-timer.C:
		u.full.Do(func() {
			u.log.Error("users are reset: so many wait to be accepted", "waiting", maxUnaccepted)
		})
	}
	return false
}

// wait waits for the connections that were accepted to be handed on or reset. Its
// caller has seen to it that no more come, and that their contexts end.
func (u *userAddrs) wait() { u.reading.Wait() }

// failed logs what is wrong with a header. A connection that ends before one has
// had no user, or one who left at once.
func (u *userAddrs) failed(err error) {
	u.often.Do(func() {
		u.log.Error("the relay does not say who a user is, as it was asked to; such users are reset", "error", err)
	})
}

// noticed logs what the relay says of its limits, if it does.
func (u *userAddrs) noticed(notice []byte) {
	if len(notice) == 0 {
		return
	}
	n, err := wire.ParseNotice(notice)
	if err != nil {
		return // it is for another relay client
	}
	u.excess.Do(func() {
		u.events.Observe(observe.Event{
			Name: observe.UsersLimited, Level: slog.LevelWarn, Limit: n.Limit, Delayed: n.Waited, Reset: n.Reset,
		})
	})
}

// localHeader gives what is to be written to the local server before the bytes
// that come on conn: a PROXY header of version 1 or 2, of 107 bytes at most, or
// nothing for version 0. If the relay does not say who the user is, nor does the
// header.
func localHeader(version int, conn conn.Conn) ([]byte, error) {
	if version == 0 {
		return nil, nil
	}
	var user, public net.Addr
	if c, ok := conn.(*proxyproto.Conn); ok {
		user, public = c.RemoteAddr(), c.LocalAddr()
	}
	return proxyproto.Header(version, user, public)
}
