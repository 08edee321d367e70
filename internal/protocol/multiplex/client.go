package multiplex

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
	"github.com/seed96252745/relay/internal/yamux"
)

// Client is the relay client's half. The zero value is ready.
type Client struct {
	pace protocol.Pace // learned by the registrations before
}

var _ protocol.Client = (*Client)(nil)

// Verb returns multiplex's.
func (*Client) Verb() wire.Verb { return verb }

// Register registers on one connection, and keeps it.
func (c *Client) Register(ctx context.Context, dial protocol.Dialer, preamble protocol.Preamble) (protocol.Registration, error) {
	var answer wire.Answer
	conn, err := protocol.Ask(ctx, dial, wire.Request{Options: preamble.Registration, Verb: verb}, func(r *wire.Reader) (err error) {
		answer, err = wire.ReadAnswer(r)
		return err
	})
	c.pace.Registered(err)
	if err != nil {
		return nil, err
	}
	protocol.AlwaysRead(conn, takesNothing)
	session := yamux.Server(conn, yamux.Config{Accept: true, PingAfter: c.pace.Silence()})
	r := &registration{client: c, session: session, answer: answer, emptied: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	r.running.Go(r.finish)
	return r, nil
}

// registration is a session that ends with its last stream once it is closed.
type registration struct {
	client  *Client
	session *yamux.Session
	answer  wire.Answer
	emptied chan struct{} // closed when r is closed and no stream is live

	running sync.WaitGroup  // while the session lives
	ctx     context.Context // done when the registration has ended, with the reason
	cancel  context.CancelCauseFunc
	losing  sync.Once

	mu     sync.Mutex // guards what follows
	closed bool
	live   int // streams that were accepted and have not ended
}

func (r *registration) Answer() wire.Answer { return r.answer }

// Serve hands streams over until the session or the registration ends.
func (r *registration) Serve(accepted protocol.Acceptor) error {
	for r.ctx.Err() == nil {
		s, err := r.session.Accept(r.ctx)
		switch {
		case err != nil:
			r.lost(err)
		case !r.take():
			_ = s.Reset()
		default:
			s.OnEnd(r.release)
			accepted(r.ctx, s)
		}
	}
	return context.Cause(r.ctx)
}

// take counts a stream in, unless the registration is closed.
func (r *registration) take() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.live++
	}
	return !r.closed
}

// release counts a stream out. It is called by the session, which it must not
// keep waiting.
func (r *registration) release() {
	r.mu.Lock()
	r.live--
	last := r.closed && r.live == 0
	r.mu.Unlock()
	if last {
		close(r.emptied)
	}
}

// Close tells the relay that no more users are taken. The session lives for as
// long as it has streams: they all run over it.
func (r *registration) Close() error {
	r.mu.Lock()
	first, idle := !r.closed, r.live == 0
	r.closed = true
	r.mu.Unlock()
	if !first {
		return nil
	}
	r.cancel(net.ErrClosed)
	r.session.GoAway()
	if idle {
		close(r.emptied)
	}
	return nil
}

// finish ends the session when it is closed and its last stream has ended.
func (r *registration) finish() {
	select {
	case <-r.emptied:
		r.session.Drain()
	case <-r.session.Done():
		r.lost(r.session.Err()) // Serve may wait for somebody to accept
	}
}

// lost ends the registration because its session has ended, unless it was closed.
func (r *registration) lost(err error) {
	r.losing.Do(func() {
		if r.ctx.Err() == nil {
			r.client.pace.Ended(r.session.Silence())
		}
		r.cancel(fmt.Errorf("connection to the relay lost: %w", err))
	})
}

// Wait waits for the session to end, with the last stream.
func (r *registration) Wait(ctx context.Context) {
	defer context.AfterFunc(ctx, r.session.Close)()
	r.running.Wait()
}
