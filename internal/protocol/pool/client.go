package pool

import (
	"context"
	"fmt"
	"net"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// MaxSize is the largest pool that a relay keeps.
const MaxSize = maxIdle

// Client is the relay client's half.
type Client struct {
	// Size is how many connections to keep waiting, from 1 to MaxSize.
	Size int
}

var _ protocol.Client = Client{}

// Register makes a pool and fills it.
func (c Client) Register(ctx context.Context, dial protocol.Dialer) (protocol.Registration, error) {
	r := &registration{dial: dial, accepted: make(chan join.Conn)}
	first, err := protocol.Ask(ctx, dial, wire.Request{Verb: wire.Pool}, func(reply *wire.Reader) (err error) {
		if r.port, err = wire.ReadPort(reply); err != nil {
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
	for _, p := range r.places {
		r.running.Go(p.keepFilled)
	}
	return r, nil
}

// Close takes the waiting connections back. The relay keeps the port for a
// minute after the last user is done: it is not told.
func (r *registration) Close() error {
	r.cancel(net.ErrClosed)
	r.running.Wait()
	return nil
}

func (r *registration) Port() int { return r.port }

// Accept gives a connection that waits for its user: reading from it waits.
func (r *registration) Accept() (join.Conn, error) {
	select {
	case conn := <-r.accepted:
		return conn, nil
	case <-r.ctx.Done():
		return nil, context.Cause(r.ctx)
	}
}

// Wait has nothing to wait for: connections that users have are their own.
func (r *registration) Wait(context.Context) { r.running.Wait() }
