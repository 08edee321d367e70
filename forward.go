package relay

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/roster"
)

// localLogInterval is how often the log says that the local server cannot be reached: a
// forwarder may try many times a second.
const localLogInterval = 10 * time.Second

// Forward makes a [Forwarder] and runs it until ctx is done.
func Forward(ctx context.Context, relayAddr, localAddr string, options *Options) error {
	f, err := NewForwarder(relayAddr, localAddr, options)
	if err != nil {
		return err
	}
	return f.Run(ctx)
}

// Forwarder puts a server online: it registers at a relay, and joins each user who comes to
// the public port there with a new connection to that server. Make it with [NewForwarder].
// Its methods may be called concurrently, before, during and after Run.
type Forwarder struct {
	listener *Listener
	started  atomic.Bool // by Run
	draining atomic.Bool

	log    *slog.Logger
	events observe.Sink
	dials  chan struct{} // holds one for each connection that is being opened
	waits  atomic.Int64  // users who found no room there

	engine *Engine   // of Run
	joins  *join.Set // on it
	// prepareLocal is the engine's, made once.
	prepareLocal func(fd int)

	users  roster.Roster[joinedUser]
	paused atomic.Pointer[time.Time] // since when, or nil

	closed  context.Context // done when no connection may go on
	close   context.CancelFunc
	running sync.WaitGroup
	aborted atomic.Int64 // connections that close has ended

	replacing sync.Mutex // held by Replace
}

// NewForwarder returns a forwarder for the relay at relayAddr, "host:port", and the server at
// localAddr: "host:port", "unix:/path" for a Unix socket, or on Linux "unix:@name" for an
// abstract one. Nil options stand for the defaults. It returns an error if an address or an
// option makes no sense. Nothing happens before Run.
//
// A Unix socket has no reset. A user who is reset is an end to a server behind one, unless it
// has sent something that was not read; its own failures are resets to the user, as usual, on
// Linux.
func NewForwarder(relayAddr, localAddr string, options *Options) (*Forwarder, error) {
	f := &Forwarder{listener: newListener(), dials: make(chan struct{}, maxLocalDials)}
	f.closed, f.close = context.WithCancel(context.Background())
	service, err := f.newService(relayAddr, localAddr, options)
	if err != nil {
		return nil, err
	}
	f.log, f.events = service.options.Logger, service.options.sink()
	f.listener.replace(service)
	return f, nil
}

// Run forwards until ctx is done. It can be called once.
//
// While the relay cannot be reached, or after it was lost, Run tries again for ever. If the
// relay refuses what it has never granted, for a reason that does not pass by itself, Run
// returns a *RefusedError, unless Options.KeepTrying is set. If the connection to the local
// server fails, Run resets the user and logs that.
//
// A panic in the code for one user ends that connection only, and is logged with its
// stack. A panic in Options.OnRegister is not caught, nor is one in Options.Logger or
// Options.OnEvent when those are told of a panic.
//
// When ctx is done Run tells the relay, unless Options.Drain is negative, and takes no more users
// once those have come who are on their way, at most two seconds later. Connections on which something moves may finish,
// for Options.Drain or until Options.Cut is closed; the others are reset. Then Run returns
// nil.
func (f *Forwarder) Run(ctx context.Context) error {
	if f.started.Swap(true) {
		return errors.New("relay: the forwarder has been run before")
	}
	engine, done, err := f.startEngine()
	if err != nil {
		f.listener.close()
		return err
	}
	defer done()
	f.engine, f.joins = engine, engine.loops.NewSet(f.logPanic)
	defer f.joins.Close()
	f.prepareLocal = engine.loops.PrepareLocal
	stop := context.AfterFunc(ctx, func() {
		f.draining.Store(true)
		_ = f.listener.Close()
	})
	defer stop()
	err = f.listener.run(nil)
	f.listener.close()
	f.drain(f.listener)
	return err
}

// maxLocalDials bounds the connections to the local server that are being opened. A
// server that is near accepts at once; if it does not, a relay that sends users without
// end must not use up all descriptors. It is twice as many as a relay lets wait.
const maxLocalDials = 256

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
func (f *Forwarder) drain(l *Listener) {
	forceClose := func() {
		f.close()
		l.forceClose()
	}
	o := &l.wanted().options
	timer := time.AfterFunc(max(o.Drain, 0), forceClose)
	defer timer.Stop()
	finished := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		select {
		case <-o.Cut:
			forceClose()
		case <-finished:
		}
	})
	f.joins.StopIdle(join.IdleLimits{Limit: stillLimit, Queued: stillBehind, Far: join.A, Ended: stillBehind})
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
