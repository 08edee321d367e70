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
	keepalive protocol.Keepalive // learned from earlier registrations
}

var _ protocol.Client = (*Client)(nil)

// Verb returns multiplex's.
func (*Client) Verb() wire.Verb { return verb }

// Register registers on one connection, which becomes the session.
func (c *Client) Register(ctx context.Context, dial protocol.Dialer, preamble protocol.Preamble) (protocol.Registration, error) {
	var answer wire.Answer
	conn, err := protocol.RoundTrip(ctx, dial, wire.Request{Options: preamble.Registration, Verb: verb}, func(r *wire.Reader) (err error) {
		answer, err = wire.ReadAnswer(r)
		return err
	})
	c.keepalive.Registered(err)
	if err != nil {
		return nil, err
	}
	protocol.AlwaysRead(conn, userTimeout)
	session := yamux.Server(conn, yamux.Config{Accept: true, PingAfter: c.keepalive.Interval()})
	r := &registration{client: c, session: session, answer: answer, drained: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	r.running.Go(r.awaitEnd)
	return r, nil
}

// registration is a yamux session, which ends with its last stream once the registration
// is closed.
type registration struct {
	client  *Client
	session *yamux.Session
	answer  wire.Answer
	drained chan struct{} // closed when r is closed and no stream is open

	running sync.WaitGroup  // while the session lives
	ctx     context.Context // done when the registration has ended, with the reason
	cancel  context.CancelCauseFunc
	losing  sync.Once

	mu     sync.Mutex // guards what follows
	closed bool
	open   int // streams that were accepted and have not ended
}

func (r *registration) Answer() wire.Answer { return r.answer }

// Serve hands over the streams that the relay opens, until the session or the
// registration ends.
func (r *registration) Serve(accepted protocol.Acceptor) error {
	for r.ctx.Err() == nil {
		s, err := r.session.Accept(r.ctx)
		switch {
		case err != nil:
			r.closeWithError(err)
		case !r.addStream():
			_ = s.Reset()
		default:
			s.OnEnd(r.removeStream)
			accepted(r.ctx, s)
		}
	}
	return context.Cause(r.ctx)
}

// addStream counts a stream, unless the registration is closed.
func (r *registration) addStream() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.open++
	}
	return !r.closed
}

// removeStream counts a stream that has ended. The session calls it, and must not be
// blocked.
func (r *registration) removeStream() {
	r.mu.Lock()
	r.open--
	last := r.closed && r.open == 0
	r.mu.Unlock()
	if last {
		close(r.drained)
	}
}

// Close tells the relay to send no more users. The session lives for as long as it has
// streams.
func (r *registration) Close() error {
	r.mu.Lock()
	first, idle := !r.closed, r.open == 0
	r.closed = true
	r.mu.Unlock()
	if !first {
		return nil
	}
	r.cancel(net.ErrClosed)
	r.session.GoAway()
	if idle {
		close(r.drained)
	}
	return nil
}

// awaitEnd drains the session once the registration is closed and its last stream has
// ended.
func (r *registration) awaitEnd() {
	select {
	case <-r.drained:
		r.session.Drain()
	case <-r.session.Done():
		r.closeWithError(r.session.Err()) // Serve may be blocked in its Acceptor
	}
}

// closeWithError ends the registration because its session has ended, unless it was
// closed before.
func (r *registration) closeWithError(err error) {
	r.losing.Do(func() {
		if r.ctx.Err() == nil {
			r.client.keepalive.Lost(r.session.Silence())
		}
		r.cancel(fmt.Errorf("connection to the relay lost: %w", err))
	})
}

// Wait waits for the session to end with its last stream.
func (r *registration) Wait(ctx context.Context) {
	defer context.AfterFunc(ctx, r.session.Close)()
	r.running.Wait()
}
