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

// maxDials bounds the data connections that are being opened, or wait to be
// accepted, at a time. The relay lets no more users wait than that.
const maxDials = 128

// Client is the relay client's half. The zero value is ready.
type Client struct {
	// OnFailure, if it is set, is told of each claim that has failed. It must not wait.
	OnFailure func(error)

	// Learned by the registrations before.
	tolerance tolerance
	pace      protocol.Pace
}

var _ protocol.Client = (*Client)(nil)

// Verb returns event's.
func (*Client) Verb() wire.Verb { return verb }

// Register opens the control connection and listens on it.
func (c *Client) Register(ctx context.Context, dial protocol.Dialer, preamble protocol.Preamble) (protocol.Registration, error) {
	var answer wire.Answer
	control, err := protocol.Ask(ctx, dial, wire.Request{Options: preamble.Registration, Verb: verb}, func(r *wire.Reader) (err error) {
		answer, err = wire.ReadAnswer(r)
		return err
	})
	c.pace.Registered(err)
	if err != nil {
		return nil, err
	}
	protocol.AlwaysRead(control, mostSilent)
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
	failed   atomic.Int32 // claims, since the last one that worked
	vouched  atomic.Int64 // until when refused ones count for nothing, after began
	began    time.Time
	spoke    atomic.Int64 // when something was said last, after began

	ctx    context.Context // done when the registration has ended, with the reason
	cancel context.CancelCauseFunc
}

func (r *registration) Answer() wire.Answer { return r.answer }

func (r *registration) Close() error {
	r.lose(net.ErrClosed)
	return nil
}

// Serve answers each id that comes on the control connection.
func (r *registration) Serve(accepted protocol.Acceptor) error {
	var claims sync.WaitGroup
	defer claims.Wait()
	claims.Go(r.speak)
	dials := make(chan struct{}, maxDials)
	// A buffer of our own, since this connection carries lines to its end.
	lines := bufio.NewReader(r.control)
	for {
		id, err := wire.ReadID(lines)
		if err != nil {
			r.controlLost(err)
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

// Wait has nothing to wait for: connections that users have are their own.
func (r *registration) Wait(context.Context) {}
