package pool

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// MaxSize is the largest pool that a relay keeps, unless it is told to keep less.
const MaxSize = 256

// Client is the relay client's half.
type Client struct {
	// Size is how many connections to keep waiting, from 1 to MaxSize.
	Size int
	// OnFailure, if it is set, is told of each connection that could not be made or
	// was refused. It must not wait.
	OnFailure func(error)
}

var _ protocol.Client = Client{}

// Verb returns pool's.
func (Client) Verb() wire.Verb { return verb }

// Register makes a pool and fills it.
func (c Client) Register(ctx context.Context, dial protocol.Dialer, preamble protocol.Preamble) (protocol.Registration, error) {
	r := &registration{client: c, dial: dial, preamble: preamble.Claim}
	first, err := protocol.Ask(ctx, dial, wire.Request{Options: preamble.Registration, Verb: verb}, func(reply *wire.Reader) (err error) {
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
		r.places = append(r.places, &place{registration: r})
	}
	r.places[0].next = first
	return r, nil
}

func (r *registration) Answer() wire.Answer { return r.answer }

// Serve fills the pool. What it hands over waits for its user: reading from it
// waits.
func (r *registration) Serve(accepted protocol.Acceptor) error {
	var places sync.WaitGroup
	for _, p := range r.places {
		places.Go(func() { p.keepFilled(accepted) })
	}
	places.Wait()
	return context.Cause(r.ctx)
}

// Close takes the waiting connections back. The relay is not told, and keeps the
// pool for some time.
func (r *registration) Close() error {
	r.cancel(net.ErrClosed)
	return nil
}

// Wait has nothing to wait for: connections that users have are their own.
func (r *registration) Wait(context.Context) {}
