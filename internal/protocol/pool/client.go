package pool

import (
	"context"
	"fmt"
	"net"

	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// MaxSize is the largest pool that a relay keeps by default.
const MaxSize = 256

// Client is the relay client's half.
type Client struct {
	// Size is how many idle connections to keep at the relay, from 1 to MaxSize.
	Size int
	// OnFailure, if it is set, is called with the error of each connection that could not
	// be made or was refused. It must not block.
	OnFailure func(error)
}

var _ protocol.Client = Client{}

// Verb returns pool's.
func (Client) Verb() wire.Verb { return verb }

// Register makes a pool and fills it.
func (c Client) Register(ctx context.Context, dial protocol.Dialer, preamble protocol.Preamble) (protocol.Registration, error) {
	r := &registration{client: c, dial: dial, preamble: preamble.Claim}
	first, err := protocol.RoundTrip(ctx, dial, wire.Request{Options: preamble.Registration, Verb: verb}, func(reply *wire.Reader) (err error) {
		if r.answer, err = wire.ReadAnswer(reply); err != nil {
			return err
		}
		if r.id, err = wire.ReadID(reply); err != nil {
			return fmt.Errorf("reading the id of the pool: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	for range c.Size {
		r.slots = append(r.slots, &slot{registration: r})
	}
	r.slots[0].first = first
	return r, nil
}

func (r *registration) Answer() wire.Answer { return r.answer }

// Serve fills the pool. It hands over connections that still wait for their user: a read
// blocks until then.
func (r *registration) Serve(accepted protocol.Acceptor) error { return r.ServeLoop(accepted, nil) }

// ServeLoop is Serve, with connections replaced on the loop if it is not nil.
func (r *registration) ServeLoop(accepted protocol.Acceptor, loop protocol.Loop) error {
	r.accepted, r.loop = accepted, loop
	r.serving.Add(len(r.slots))
	for _, s := range r.slots {
		go s.fill()
	}
	<-r.ctx.Done()
	for _, s := range r.slots {
		s.withdraw()
	}
	r.serving.Wait()
	return context.Cause(r.ctx)
}

// Close resets the idle connections. The relay is not told, and keeps the pool for some
// time.
func (r *registration) Close() error {
	r.cancel(net.ErrClosed)
	return nil
}

// Wait returns at once: each user has a connection of its own.
func (r *registration) Wait(context.Context) {}
