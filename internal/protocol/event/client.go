package event

import (
	"bufio"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// maxDials bounds the data connections that are being opened, or wait for the Acceptor.
// The relay lets no more users wait than that.
const maxDials = 128

// Client is the relay client's half. The zero value is ready.
type Client struct {
	// OnFailure, if it is set, is called with the error of each failed claim. It must not
	// block.
	OnFailure func(error)

	// Learned from earlier registrations.
	tolerance tolerance
	keepalive protocol.Keepalive
}

var _ protocol.Client = (*Client)(nil)

// Verb returns event's.
func (*Client) Verb() wire.Verb { return verb }

// Register opens the control connection.
func (c *Client) Register(ctx context.Context, dial protocol.Dialer, preamble protocol.Preamble) (protocol.Registration, error) {
	var answer wire.Answer
	control, err := protocol.RoundTrip(ctx, dial, wire.Request{Options: preamble.Registration, Verb: verb}, func(r *wire.Reader) (err error) {
		answer, err = wire.ReadAnswer(r)
		return err
	})
	c.keepalive.Registered(err)
	if err != nil {
		return nil, err
	}
	protocol.AlwaysRead(control, clientUserTimeout)
	r := &registration{client: c, answer: answer, control: control, dial: dial, preamble: preamble, began: time.Now()}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	return r, nil
}

// registration is a control connection.
type registration struct {
	client   *Client
	answer   wire.Answer
	control  conn.Conn
	dial     protocol.Dialer
	preamble protocol.Preamble
	failed   atomic.Int32 // claims in a row
	began    time.Time
	trusted  atomic.Int64 // until when refused claims do not count, as a time after began
	lastSent atomic.Int64 // when the last keepalive was sent, as a time after began

	ctx    context.Context // done when the registration has ended, with the reason
	cancel context.CancelCauseFunc
}

func (r *registration) Answer() wire.Answer { return r.answer }

func (r *registration) Close() error {
	r.lose(net.ErrClosed)
	return nil
}

// Serve claims each id that arrives on the control connection.
func (r *registration) Serve(accepted protocol.Acceptor) error {
	var claims sync.WaitGroup
	defer claims.Wait()
	claims.Go(r.sendKeepalives)
	dials := make(chan struct{}, maxDials)
	// It may be buffered, since this connection carries nothing but lines.
	lines := bufio.NewReader(r.control)
	for {
		id, err := wire.ReadID(lines)
		if err != nil {
			r.loseControl(err)
			return context.Cause(r.ctx)
		}
		select {
		case dials <- struct{}{}:
			claims.Go(func() {
				defer func() { <-dials }()
				r.claim(id, accepted)
			})
		case <-r.ctx.Done():
			return context.Cause(r.ctx)
		}
	}
}

// Wait returns at once: each user has a connection of its own.
func (r *registration) Wait(context.Context) {}
