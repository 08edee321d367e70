package event

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/sockerr"
	"github.com/seed96252745/relay/internal/wire"
)

const (
	// maxFailed is how many claims in a row have to fail for the registration to count
	// as lost: the relay of the control connection does not answer there, and all users
	// would wait in vain.
	maxFailed int32 = 2
	// maxTolerated bounds how many claims the relay may refuse in a row. A user who
	// resets before the claim arrives looks like a relay that does not know the user,
	// and health checks do that every few seconds. So the number of refused claims, but
	// not of those that could not be made, doubles each time, and is halved again once
	// users come.
	maxTolerated int32 = 256
	// trustTime is for how long after a successful claim refusals do not count: it has
	// shown that the right relay is there. Otherwise each stranger who connects and
	// resets could have the registration dropped under users. It also delays users behind
	// a balancer whose relays were exchanged, so it is short; but users of a busy tunnel
	// come more often than that.
	trustTime = 3 * time.Second
)

// errRefused is the error of a claim that the relay has reset or ended without a byte.
var errRefused = errors.New("the user has left already, or who answers there is not the relay that has told of the user")

// tolerance counts how often maxFailed was doubled for refused claims.
type tolerance struct{ doublings atomic.Int32 }

func (t *tolerance) limit() int32 { return min(maxFailed<<t.doublings.Load(), maxTolerated) }

func (t *tolerance) raise() {
	if t.limit() < maxTolerated {
		t.doublings.Add(1)
	}
}

// lower halves the limit if the refusals before a successful claim were far below it.
func (t *tolerance) lower(refused int32) {
	doublings := t.doublings.Load()
	if doublings > 0 && refused < t.limit()/2 {
		t.doublings.CompareAndSwap(doublings, doublings-1) // unless another claim has
	}
}

// claim opens the data connection for the user with this id.
func (r *registration) claim(id string, accepted protocol.Acceptor) {
	send := func(ctx context.Context) (conn.Conn, error) { return protocol.Send(ctx, r.dial, r.request(id)) }
	r.handOver(send, accepted)
}

// request returns what the data connection for the user with this id begins with.
func (r *registration) request(id string) wire.Request {
	return wire.Request{Options: r.preamble.Claim, Verb: verb, ID: id}
}

// handOver hands over the connection that dial returns. If that fails the relay resets the
// user in time.
func (r *registration) handOver(dial protocol.Dialer, accepted protocol.Acceptor) {
	conn, err := dial(r.ctx)
	if err != nil {
		if r.countFailure(err) >= maxFailed {
			r.lose(fmt.Errorf("users cannot be served: %w", err))
		}
		return
	}
	accepted(r.ctx, protocol.NewFirstRead(conn, r.learn))
}

// learn learns from what has arrived first on the connection of a claim.
func (r *registration) learn(err error) {
	switch {
	case err == nil:
		r.trusted.Store(int64(time.Since(r.began) + trustTime))
		r.client.tolerance.lower(r.failed.Swap(0))
	case sockerr.Is(err, syscall.ECONNRESET), r.isResetByProxy(err):
		err = fmt.Errorf("%w (%w)", errRefused, err)
		if r.countFailure(err) >= r.client.tolerance.limit() {
			r.client.tolerance.raise()
			r.lose(err)
		}
	}
}

// isResetByProxy reports whether err is what TCP proxies make of a reset. With TLS that is
// an end of TCP alone, which no user causes. Without TLS it is an end in place of the PROXY
// header; if the relay sends none, a user may have ended who has sent nothing.
func (r *registration) isResetByProxy(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) && r.hasHeader()
}

// hasHeader reports whether the relay sends a PROXY header before a user's bytes.
func (r *registration) hasHeader() bool {
	return slices.ContainsFunc(r.preamble.Registration, func(o wire.Option) bool { return o.Key == wire.OptionProxy })
}

// countFailure counts a failed claim, and returns how many have failed in a row. A claim
// for which this machine was short of something does not count: to register anew would
// fail for the same reason, and lose the control connection. Nor does a refused claim
// within trustTime of a successful one.
func (r *registration) countFailure(err error) int32 {
	if r.ctx.Err() != nil {
		return 0 // because the registration has ended
	}
	if r.client.OnFailure != nil {
		r.client.OnFailure(err)
	}
	if sockerr.IsShortage(err) || errors.Is(err, errRefused) && time.Since(r.began) < time.Duration(r.trusted.Load()) {
		return 0
	}
	return r.failed.Add(1)
}

// lose ends the registration for the given reason.
func (r *registration) lose(reason error) {
	r.cancel(reason)
	_ = r.control.Close() // wakes Serve
}
