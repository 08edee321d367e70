package multiplex

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// Client is the relay client's half. The zero value is ready.
type Client struct {
	// Sessions is how many sessions to ask the relay for, at most MaxSessions. Zero means
	// one.
	Sessions int
	// OnFailure, if it is set, is called with the error of each session that was lost
	// while others stand, or could not be made beside them. It must not block.
	OnFailure func(error)
	// OnSettled, if it is set, is called once: from then on the client asks for one
	// session, because further ones come to another relay. It must not block.
	OnSettled func()

	keepalive protocol.Keepalive // learned from earlier sessions
	settled   atomic.Bool        // for one session
}

var _ protocol.Client = (*Client)(nil)

// Verb returns multiplex's.
func (*Client) Verb() wire.Verb { return verb }

// Register registers on one connection, which becomes the first session. At a relay that
// knows of no others it stays the only one.
func (c *Client) Register(ctx context.Context, dial protocol.Dialer, preamble protocol.Preamble) (protocol.Registration, error) {
	sessions := c.sessions()
	conn, answer, err := c.roundTrip(ctx, dial, preamble, sessions)
	if sessions > 1 && knowsNoSessions(err) {
		conn, answer, err = c.roundTrip(ctx, dial, preamble, 1)
	}
	c.keepalive.Registered(err)
	if err != nil {
		return nil, err
	}
	r := &registration{client: c, answer: answer, size: 1, drained: make(chan struct{}), changed: make(chan struct{}, 1)}
	if answer.Session != "" {
		r.size = max(min(sessions, answer.Sessions), 1)
		r.dial = dial
		r.claim = append(slices.Clip(preamble.Claim), wire.Option{Key: wire.OptionSession, Value: answer.Session})
	}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	r.first = r.addSession(conn, false)
	return r, nil
}

// sessions returns how many to ask for.
func (c *Client) sessions() int {
	if c.settled.Load() {
		return 1
	}
	return c.Sessions
}

// settle has c ask for one session from now on.
func (c *Client) settle() {
	if c.settled.CompareAndSwap(false, true) && c.OnSettled != nil {
		c.OnSettled()
	}
}

// roundTrip registers, and asks for so many sessions.
func (*Client) roundTrip(ctx context.Context, dial protocol.Dialer, preamble protocol.Preamble, sessions int) (conn.Conn, wire.Answer, error) {
	options := preamble.Registration
	if sessions > 1 {
		options = append(slices.Clip(options), wire.Option{Key: wire.OptionSessions, Value: strconv.Itoa(sessions)})
	}
	var answer wire.Answer
	conn, err := protocol.RoundTrip(ctx, dial, wire.Request{Options: options, Verb: verb}, func(r *wire.Reader) (err error) {
		answer, err = wire.ReadAnswer(r)
		return err
	})
	return conn, answer, err
}

// knowsNoSessions reports whether a registration was refused by a relay of a version that
// has one session for each tunnel.
func knowsNoSessions(err error) bool {
	var refusal *wire.Refusal
	return errors.As(err, &refusal) && refusal.Code == wire.CodeUnknownOption &&
		strings.HasPrefix(refusal.Text, wire.OptionSessions)
}
