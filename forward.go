package relay

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/seed96252745/relay/internal/join"
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
// relay that is not there, or is lost, it tries to reach for ever. A user
// whose connection to localAddr fails is reset, and that is logged.
//
// When ctx is done it takes no more users, lets connections finish for
// Options.Drain, resets the others, and returns nil.
func Forward(ctx context.Context, relayAddr, localAddr string, options *Options) error {
	if _, err := splitAddr(localAddr); err != nil {
		return fmt.Errorf("relay: address of the local server: %w", err)
	}
	l, err := newListener(relayAddr, options)
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
		often:  rate.Sometimes{First: 1, Interval: localLogInterval},
		engine: engine,
	}
	f.ended, f.end = context.WithCancel(context.Background())
	l.accepted = f.accepted
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	l.run(nil)
	f.drain(l)
	return nil
}

// forwarder is what the connections of one Forward have in common.
type forwarder struct {
	local  string
	log    *slog.Logger
	often  rate.Sometimes
	engine *join.Engine

	ended   context.Context // done when nothing may go on any more
	end     context.CancelFunc
	running sync.WaitGroup
}

// accepted joins one user with the local server, which is on the same machine
// most of the time and then connected at once.
func (f *forwarder) accepted(_ context.Context, conn join.Conn) {
	local, wait := transport.StartLocal(f.local)
	if local != nil {
		f.join(conn, local)
		return
	}
	f.running.Go(func() {
		local, err := wait(f.ended)
		if err == nil {
			f.join(conn, local)
			return
		}
		f.often.Do(func() {
			f.log.Error("the local server cannot be reached; users are reset", "local", f.local, "error", err)
		})
		_ = conn.Reset()
	})
}

func (f *forwarder) join(conn, local join.Conn) {
	f.running.Add(1)
	f.engine.Join(f.ended, conn, local, func(r join.Result) {
		defer f.running.Done()
		f.log.Debug("user done", "received", r.AToB, "sent", r.BToA, "ending", r.Ending(), "error", r.Err)
	})
}

// drain waits until all connections have finished and what was written has
// arrived, for as long as the options allow, and resets what is left.
func (f *forwarder) drain(l *Listener) {
	timer := time.AfterFunc(max(l.options.Drain, 0), func() {
		f.end()
		l.cutNow()
	})
	defer timer.Stop()
	f.running.Wait()
	l.lingering.Wait()
	f.end()
}
