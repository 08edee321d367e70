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

// localLogInterval is how often the log says that the local server cannot be reached: a
// forwarder may try many times a second.
const localLogInterval = 10 * time.Second

// Forward registers at the relay at relayAddr and joins each user with a new connection
// to the server at localAddr, until ctx is done. Both addresses are "host:port". Nil
// options stand for the defaults.
//
// Forward returns an error at once if an address or an option makes no sense. While the
// relay cannot be reached, or after it was lost, Forward tries again for ever. If the
// relay refuses what it has never granted, for a reason that does not pass by itself,
// Forward returns a *RefusedError, unless Options.KeepTrying is set. If the connection to
// localAddr fails, Forward resets the user and logs that.
//
// A panic in the code for one user ends that connection only, and is logged with its
// stack. A panic in Options.OnRegister is not caught, nor is one in Options.Logger while
// it logs a panic.
//
// When ctx is done Forward takes no more users. Connections on which something moves may
// finish, for Options.Drain or until Options.Cut is closed; the others are reset. Then
// Forward returns nil.
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
		local:       localAddr,
		log:         l.options.Logger,
		events:      &observe.Log{Logger: l.options.Logger},
		unreachable: rate.Sometimes{First: 1, Interval: localLogInterval},
		slow:        rate.Sometimes{First: 1, Interval: localLogInterval},
		engine:      engine,
		dials:       make(chan struct{}, maxLocalDials),

		prepareLocal:  engine.PrepareLocal,
		proxyProtocol: l.options.ProxyProtocol,
		probeLocal:    l.options.Probe == ProbeLocal,
	}
	engine.OnCrash = f.logPanic
	f.closed, f.close = context.WithCancel(context.Background())
	l.users = f
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	err = l.run(nil)
	l.close()
	f.drain(l)
	return err
}

// maxLocalDials bounds the connections to the local server that are being opened. A
// server that is near accepts at once; if it does not, a relay that sends users without
// end must not use up all descriptors. It is twice as many as a relay lets wait.
const maxLocalDials = 256

// forwarder is what the connections of one Forward have in common.
type forwarder struct {
	local       string
	log         *slog.Logger
	events      observe.Sink
	unreachable rate.Sometimes // to log that the local server cannot be reached
	slow        rate.Sometimes // to log that it accepts slowly
	engine      *join.Engine
	dials       chan struct{} // holds one for each connection that is being opened
	// prepareLocal is the engine's, made once.
	prepareLocal func(fd int)
	// proxyProtocol is the version of the header for the local server; 0 is none.
	proxyProtocol int
	// probeLocal has probes reach the local server.
	probeLocal bool
	prober     prober

	closed  context.Context // done when no connection may go on
	close   context.CancelFunc
	running sync.WaitGroup
	aborted atomic.Int64 // connections that close has ended
}

// handleUser joins one user with the local server. While too many connections to that are
// being opened, later users wait.
func (f *forwarder) handleUser(registered context.Context, conn conn.Conn) {
	switch {
	case f.tryHandleUser(conn):
	case f.waitToDial(registered):
		f.connect(conn)
	default:
		_ = conn.Reset()
	}
}

// tryHandleUser is handleUser unless that would wait.
func (f *forwarder) tryHandleUser(conn conn.Conn) bool {
	select {
	case f.dials <- struct{}{}:
		f.connect(conn)
		return true
	default:
		return false
	}
}

func (f *forwarder) whenReadable(conn conn.Conn, g func()) (stop func()) {
	return f.engine.WhenReadable(conn, g)
}

func (f *forwarder) loop() *join.Loop { return f.engine.Loop() }

// connect joins one user, who holds one of the dials, with the local server. It does not
// wait: a server on the same machine, as most are, is connected at once, and for others
// there is a goroutine.
func (f *forwarder) connect(conn conn.Conn) {
	defer f.resetOnPanic(conn)
	began := time.Now()
	local, wait := transport.StartLocal(f.local, f.prepareLocal)
	if local != nil {
		<-f.dials
		f.join(conn, local, time.Since(began))
		return
	}
	f.running.Go(func() {
		defer f.resetOnPanic(conn)
		f.dial(conn, began, wait)
	})
}

// waitToDial waits until another connection may be opened. It returns false if the
// registration ends before, or nothing may go on.
func (f *forwarder) waitToDial(registered context.Context) bool {
	f.slow.Do(func() {
		f.log.Warn("the local server takes long to answer; users have to wait", "local", f.local, "connecting", maxLocalDials)
	})
	select {
	case f.dials <- struct{}{}:
		return true
	case <-registered.Done():
	case <-f.closed.Done():
	}
	return false
}

// dial waits for the local server, on behalf of a user who holds one of the dials.
func (f *forwarder) dial(conn conn.Conn, began time.Time, wait func(context.Context) (conn.Conn, error)) {
	local, err := wait(f.closed)
	<-f.dials
	if err == nil {
		f.join(conn, local, time.Since(began))
		return
	}
	_ = conn.Reset()
	f.events.Observe(observe.Event{
		Name: observe.UserReset, Level: slog.LevelDebug, User: conn.RemoteAddr(), Reason: observe.DialFailed, Err: err,
	})
	if f.closed.Err() != nil {
		return // it might have been reached
	}
	f.unreachable.Do(func() {
		if sockerr.Is(err, syscall.ECONNREFUSED) {
			err = fmt.Errorf("%w; check that the local server runs, and that this is its port", err)
		}
		f.log.Error("the local server cannot be reached; users are reset", "local", f.local, "error", withAdvice(err))
	})
}

// join joins a user with the local server, which took dialTime to accept.
func (f *forwarder) join(conn, local conn.Conn, dialTime time.Duration) {
	if !f.writeHeader(conn, local) {
		return
	}
	f.running.Add(1)
	joined := time.Now()
	f.engine.Join(f.closed, conn, local, join.Options{}, func(r join.Result) {
		defer f.running.Done()
		var c *crash.Error
		if errors.As(r.Err, &c) {
			f.logPanic(c)
		}
		f.reportDone(conn, dialTime, time.Since(joined), r)
	})
}

// reportDone reports the end of a user, once. An end by the relay looks like one by the
// user where the connection to the relay is that user's alone.
func (f *forwarder) reportDone(conn conn.Conn, dialTime, duration time.Duration, r join.Result) {
	done := observe.Event{
		Name: observe.UserDone, User: conn.RemoteAddr(), Duration: duration, Received: r.AToB, Sent: r.BToA,
		DialTime: max(dialTime, 1), // a clock may be too coarse for it, and zero is none
	}
	done.EndedBy, done.How = observe.Ending(r, observe.ByRelayClient, observe.ByRelay, f.closed.Err() != nil)
	if done.How == observe.Drain {
		f.aborted.Add(1)
	}
	if done.EndedBy != observe.ByRelayClient { // then How says all, and a panic has an event of its own
		done.Err = r.Err
	}
	f.events.Observe(done)
}

// writeHeader writes the PROXY header to the local server, if the options want one. Its few
// bytes fit into the socket's buffer. If that fails it resets both connections and returns
// false.
func (f *forwarder) writeHeader(conn, local conn.Conn) bool {
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

// resetOnPanic is deferred where a panic is to end one user's connection, and not the
// forwarder.
func (f *forwarder) resetOnPanic(conn conn.Conn) {
	if c := crash.Caught(recover()); c != nil {
		_ = conn.Reset()
		f.logPanic(c)
	}
}

func (f *forwarder) logPanic(c *crash.Error) {
	if c.First() {
		f.events.Observe(observe.Event{Name: observe.Panicked, Level: slog.LevelError, Err: c})
	}
}

// How long a forwarder that shuts down waits for a connection on which nothing moves.
const (
	stillLimit = 2 * time.Second
	// stillBehind is the same while bytes wait to be taken, or the relay has all of them.
	// Sockets on the way to a user who reads slowly may hold megabytes, and then nothing
	// moves here for some seconds at a time.
	stillBehind = 10 * time.Second
)

// drain waits until all connections have finished and what was written has arrived, for
// as long as the options allow and something moves. It resets the connections that are
// left.
func (f *forwarder) drain(l *Listener) {
	forceClose := func() {
		f.close()
		l.forceClose()
	}
	timer := time.AfterFunc(max(l.options.Drain, 0), forceClose)
	defer timer.Stop()
	finished := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		select {
		case <-l.options.Cut:
			forceClose()
		case <-finished:
		}
	})
	f.engine.StopIdle(join.IdleLimits{Limit: stillLimit, Queued: stillBehind, Far: join.A, Ended: stillBehind})
	f.running.Wait()
	late := time.AfterFunc(stillBehind, l.forceClose) // by then the relay has the last bytes, or is gone
	defer late.Stop()
	l.draining.Wait()
	close(finished)
	waiting.Wait()
	f.close()
	if n := f.aborted.Load(); n > 0 {
		f.log.Warn("connections that had not finished were reset", "connections", n)
	}
}
