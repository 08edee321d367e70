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
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/proxyproto"
	"github.com/seed96252745/relay/internal/wire"
)

const (
	// headerTimeout bounds the rest of a header once its first byte has come. The relay
	// sends a header in one piece.
	headerTimeout = 10 * time.Second

	// maxPending bounds the connections whose header has not come, or that have not been
	// accepted since. The largest pool takes half of it for connections without a user;
	// the other half is for users who have come, and whose place in the pool another
	// connection has by then.
	maxPending = 2 * MaxPoolSize

	// noticeInterval is how often the relay's notices about limits are logged. The relay
	// sends one half as often.
	noticeInterval = 5 * time.Second

	// acceptWait is how long a connection beyond maxPending waits for room. The relay has
	// users wait for as long. While it waits the loss of the relay is not seen.
	acceptWait = 10 * time.Second
)

// userHandler takes the connections of users over.
type userHandler interface {
	// handleUser is a protocol.Acceptor.
	handleUser(registered context.Context, conn conn.Conn)
	// tryHandleUser is handleUser for a caller that cannot wait. It returns false if
	// handleUser would wait.
	tryHandleUser(conn conn.Conn) bool
	// whenReadable calls f once when there is something to read, on a goroutine that must
	// not wait. Stop ends the watch. It is nil if conn cannot be watched, and has to be
	// read instead.
	whenReadable(conn conn.Conn, f func()) (stop func())
	// answerProbe returns what to answer to a probe of the relay. It may take as long as ctx.
	answerProbe(ctx context.Context) wire.ProbeAnswer
	// loop returns an event loop for what comes before users, or nil if there is none.
	loop() *join.Loop
}

// headerReader reads the PROXY header that the relay writes before each user's bytes, and
// hands the connection to next as one that comes from the user. With Pool the header
// comes with the user, and no sooner.
type headerReader struct {
	next     userHandler
	log      *slog.Logger
	events   observe.Sink
	invalid  rate.Sometimes // to log headers that are not valid
	full     rate.Sometimes // to log that nobody accepts
	notices  rate.Sometimes // to log limits that the relay's users have met
	slots    chan struct{}  // holds one for each pending connection
	pending  sync.WaitGroup
	order    order
	controls controls
	served   atomic.Bool // a user has come
}

func newHeaderReader(next userHandler, log *slog.Logger, events observe.Sink, said *serving, move func()) *headerReader {
	return &headerReader{
		next:    next,
		log:     log,
		events:  events,
		invalid: rate.Sometimes{First: 1, Interval: localLogInterval},
		full:    rate.Sometimes{First: 1, Interval: localLogInterval},
		notices: rate.Sometimes{First: 1, Interval: noticeInterval},
		slots:   make(chan struct{}, maxPending),

		controls: controls{serving: said, move: move},
	}
}

// accept is the protocol.Acceptor for connections with headers. When registered is done
// it resets the pending ones.
func (r *headerReader) accept(registered context.Context, conn conn.Conn) {
	if !r.acquireSlot(registered) {
		_ = conn.Reset()
		return
	}
	r.start(registered, conn)
}

// tryAccept is accept for a caller that cannot wait. It returns false if accept would wait.
func (r *headerReader) tryAccept(registered context.Context, conn conn.Conn) bool {
	if !r.tryAcquireSlot() {
		return false
	}
	r.start(registered, conn)
	return true
}

// start reads the header of a connection that has a slot.
func (r *headerReader) start(registered context.Context, conn conn.Conn) {
	r.pending.Add(1)
	(&pendingConn{headerReader: r, registered: registered, conn: conn}).start()
}

// acquireSlot waits for room for another pending connection, for acceptWait at most.
func (r *headerReader) acquireSlot(registered context.Context) bool {
	if r.tryAcquireSlot() {
		return true
	}
	timer := time.NewTimer(acceptWait)
	defer timer.Stop()
	select {
	case r.slots <- struct{}{}:
		return true
	case <-registered.Done():
	case <-timer.C:
		r.full.Do(func() {
			r.log.Error("users are reset: too many wait to be accepted", "waiting", maxPending)
		})
	}
	return false
}

func (r *headerReader) tryAcquireSlot() bool {
	select {
	case r.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// wait waits until no connection is pending. Its caller has made sure that no more come,
// and that their contexts end.
func (r *headerReader) wait() { r.pending.Wait() }

// logInvalid logs what is wrong with a header. A connection that ends without one had no
// user, or a user who left at once.
func (r *headerReader) logInvalid(err error) {
	r.invalid.Do(func() {
		r.log.Error("the relay does not send the PROXY header that it was asked for; such users are reset", "error", err)
	})
}

// logNotice logs what the relay has sent about limits, if anything.
func (r *headerReader) logNotice(notice []byte) {
	if len(notice) == 0 {
		return
	}
	n, err := wire.ParseNotice(notice)
	if err != nil {
		return // a newer relay may send what only newer relay clients know
	}
	r.notices.Do(func() {
		r.events.Observe(observe.Event{
			Name: observe.UsersLimited, Level: slog.LevelWarn, Limit: n.Limit, Delayed: n.Waited, Reset: n.Reset,
		})
	})
}

// reportPanic reports a panic that has ended one connection.
func (r *headerReader) reportPanic(c *crash.Error) {
	if c.First() {
		r.events.Observe(observe.Event{Name: observe.Panicked, Level: slog.LevelError, Err: c})
	}
}

// localHeader returns the PROXY header to write to the local server before the bytes of
// conn, of version 1 or 2 and at most 107 bytes; for version 0 it returns nothing. If
// the relay has not said who the user is, the header does not either.
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
