package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/sockerr"
	"github.com/seed96252745/relay/internal/transport"
)

// localLogInterval is how often a local server that cannot be reached is
// logged about: with Pool it is tried many times a second.
const localLogInterval = 10 * time.Second

// Forward registers at the relay with address relayAddr and joins each user
// with a new connection to the server at localAddr, both "host:port", until
// ctx is done. Nil options stand for the defaults.
//
// It returns an error at once if an address or an option makes no sense. A
// relay that is not there, or is lost, it tries to reach for ever. A relay that
// refuses what it has never granted, for a reason that does not pass by itself, ends
// it with a *RefusedError, unless Options.KeepTrying is set. A user whose connection to
// localAddr fails is reset, and that is logged.
//
// A panic in what Forward does for one user ends that connection only, and is
// logged with its stack. One in Options.OnRegister, or in Options.Logger while
// that is told of a panic, is not caught.
//
// When ctx is done it takes no more users, lets connections finish on which something
// moves, for Options.Drain or until Options.Cut, resets the others, and returns nil.
func Forward(ctx context.Context, relayAddr, localAddr string, options *Options) error {
	if _, err := splitAddr(localAddr); err != nil {
		return fmt.Errorf("relay: address of the local server: %w", err)
	}
	l, err := newListener(relayAddr, localAddr, options)
	if err != nil {
		return err
	}
	engine, err := join.NewEngine()
	if err != nil {
		l.close()
		return fmt.Errorf("relay: %w", err)
	}
	defer engine.Close()
	f := &forwarder{
		local:  localAddr,
		log:    l.options.Logger,
		events: &observe.Log{Logger: l.options.Logger},
		often:  rate.Sometimes{First: 1, Interval: localLogInterval},
		busy:   rate.Sometimes{First: 1, Interval: localLogInterval},
		engine: engine,
		dials:  make(chan struct{}, maxLocalDials),

		proxyProtocol: l.options.ProxyProtocol,
	}
	engine.OnCrash = f.crashed
	f.ended, f.end = context.WithCancel(context.Background())
	l.next = f
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	err = l.run(nil)
	l.close()
	f.drain(l)
	return err
}

// maxLocalDials bounds the connections to the local server that are being
// opened at a time. One that is near answers at once; behind one that does not, a relay that sends users without end may not use up all
// descriptors. Twice as many as a relay lets wait.
const maxLocalDials = 256

// forwarder is what the connections of one Forward have in common.
type forwarder struct {
	local       string
	log         *slog.Logger
	events      observe.Sink
	often, busy rate.Sometimes // to log that the local server fails, or is slow
	engine      *join.Engine
	dials       chan struct{} // holds one for each that is waited for
	// proxyProtocol is the version of the header for the local server; 0 is none.
	proxyProtocol int

	ended   context.Context // done when nothing may go on any more
	end     context.CancelFunc
	running sync.WaitGroup
	cut     atomic.Int64 // connections that were ended by that
}

// take joins one user with the local server. While too many wait for that it holds
// up those who come after them.
func (f *forwarder) take(registered context.Context, conn conn.Conn) {
	switch {
	case f.takeNow(conn):
	case f.mayDial(registered):
		f.reach(conn)
	default:
		_ = conn.Reset()
	}
}

// takeNow is take unless too many wait.
func (f *forwarder) takeNow(conn conn.Conn) bool {
	select {
	case f.dials <- struct{}{}:
		f.reach(conn)
		return true
	default:
		return false
	}
}

func (f *forwarder) whenReadable(conn conn.Conn, g func()) (stop func()) {
	return f.engine.WhenReadable(conn, g)
}

// reach joins one user, in the place that one has among the dials, with the local
// server, which is on the same machine most of the time and then connected at once.
// It does not wait.
func (f *forwarder) reach(conn conn.Conn) {
	defer f.resetIfCrashed(conn)
	began := time.Now()
	local, wait := transport.StartLocal(f.local)
	if local != nil {
		<-f.dials
		f.join(conn, local, time.Since(began))
		return
	}
	f.running.Go(func() {
		defer f.resetIfCrashed(conn)
		f.dial(conn, began, wait)
	})
}

// mayDial waits, where too many wait, until one more may. It gives false if
// the registration, or everything, ends before.
func (f *forwarder) mayDial(registered context.Context) bool {
	f.busy.Do(func() {
		f.log.Warn("the local server takes long to answer; users have to wait", "local", f.local, "connecting", maxLocalDials)
	})
	select {
	case f.dials <- struct{}{}:
		return true
	case <-registered.Done():
	case <-f.ended.Done():
	}
	return false
}

// dial waits for the local server, in the place that one has among the dials.
func (f *forwarder) dial(conn conn.Conn, began time.Time, wait func(context.Context) (conn.Conn, error)) {
	local, err := wait(f.ended)
	<-f.dials
	if err == nil {
		f.join(conn, local, time.Since(began))
		return
	}
	_ = conn.Reset()
	f.events.Observe(observe.Event{
		Name: observe.UserReset, Level: slog.LevelDebug, User: conn.RemoteAddr(), Reason: observe.DialFailed, Err: err,
	})
	if f.ended.Err() != nil {
		return // and nobody knows whether it could be
	}
	f.often.Do(func() {
		if sockerr.Is(err, syscall.ECONNREFUSED) {
			err = fmt.Errorf("%w; look whether the local server runs, and whether this is its port", err)
		}
		f.log.Error("the local server cannot be reached; users are reset", "local", f.local, "error", withAdvice(err))
	})
}

// join joins a user with the local server, which took so long to answer.
func (f *forwarder) join(conn, local conn.Conn, dialTime time.Duration) {
	if !f.introduce(conn, local) {
		return
	}
	f.running.Add(1)
	joined := time.Now()
	f.engine.Join(f.ended, conn, local, join.Options{}, func(r join.Result) {
		defer f.running.Done()
		var c *crash.Error
		if errors.As(r.Err, &c) {
			f.crashed(c)
		}
		f.record(conn, dialTime, time.Since(joined), r)
	})
}

// record logs what became of a user, once. The relay looks like the user, where a
// connection is that user's alone.
func (f *forwarder) record(conn conn.Conn, dialTime, duration time.Duration, r join.Result) {
	done := observe.Event{
		Name: observe.UserDone, User: conn.RemoteAddr(), DialTime: max(dialTime, 1), Duration: duration, Received: r.AToB, Sent: r.BToA,
	}
	done.EndedBy, done.How = observe.Ending(r, observe.ByRelayClient, observe.ByRelay, f.ended.Err() != nil)
	if done.How == observe.Drain {
		f.cut.Add(1)
	}
	if done.EndedBy != observe.ByRelayClient { // which has said all, and logs a panic with its stack
		done.Err = r.Err
	}
	f.events.Observe(done)
}

// introduce tells the local server who the user is, if it is to know. The few bytes
// fit into the socket's buffer. If that fails, both are reset.
func (f *forwarder) introduce(conn, local conn.Conn) bool {
	if f.proxyProtocol == 0 {
		return true
	}
	header, err := localHeader(f.proxyProtocol, conn)
	if err == nil {
		_, err = local.Write(header)
	}
	if err != nil {
		f.events.Observe(observe.Event{
			Name: observe.UserReset, Level: slog.LevelDebug, User: conn.RemoteAddr(), Reason: observe.HeaderFailed, Err: err,
		})
		_ = conn.Reset()
		_ = local.Reset()
	}
	return err == nil
}

// resetIfCrashed is deferred where a panic is to end one user's connection, and
// not the forwarder.
func (f *forwarder) resetIfCrashed(conn conn.Conn) {
	if c := crash.Caught(recover()); c != nil {
		_ = conn.Reset()
		f.crashed(c)
	}
}

func (f *forwarder) crashed(c *crash.Error) {
	if c.First() {
		f.events.Observe(observe.Event{Name: observe.Panicked, Level: slog.LevelError, Err: c})
	}
}

// For how long a forwarder that shuts down waits for a connection on which nothing
// moves.
const (
	stillLimit = 2 * time.Second
	// stillBehind is the same while bytes wait to be taken, or the relay has all of them.
	// There may be megabytes in sockets before a user who reads slowly, and here nothing
	// moves then for some seconds at a time.
	stillBehind = 10 * time.Second
)

// drain waits until all connections have finished and what was written has arrived, for
// as long as the options allow and something moves, and resets what is left.
func (f *forwarder) drain(l *Listener) {
	cut := func() {
		f.end()
		l.cutNow()
	}
	timer := time.AfterFunc(max(l.options.Drain, 0), cut)
	defer timer.Stop()
	finished := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		select {
		case <-l.options.Cut:
			cut()
		case <-finished:
		}
	})
	f.engine.EndStill(join.Stillness{Limit: stillLimit, Queued: stillBehind, Far: join.A, Ended: stillBehind})
	f.running.Wait()
	late := time.AfterFunc(stillBehind, l.cutNow) // the relay has what was said last, or is gone
	defer late.Stop()
	l.lingering.Wait()
	close(finished)
	waiting.Wait()
	f.end()
	if n := f.cut.Load(); n > 0 {
		f.log.Warn("connections that had not finished were reset", "connections", n)
	}
}
