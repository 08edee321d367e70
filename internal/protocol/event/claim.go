package event

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/sockerr"
	"github.com/seed96252745/relay/internal/wire"
)

const (
	// maxFailed is how many claims in a row may fail before the registration is taken
	// for lost: the peer there is not the relay of the control connection, or
	// nobody is, and all users would wait in vain.
	maxFailed int32 = 2
	// maxTolerated bounds how many more may be refused. A user who resets before the
	// claim has come looks like a relay that knows of no user, and health checks do
	// that every few seconds. So, of claims that were refused and not one that could
	// not be made, it takes twice as many each time, and less again once users come.
	maxTolerated int32 = 256
	// vouches is for how long a claim that has worked shows that the right relay is
	// there: refusals count for nothing until then, or each stranger who connects and
	// resets could have the registration dropped under users. It is also how much later
	// users are served again behind a balancer whose relays were exchanged, so it is
	// short; but users of a tunnel at work come more often than that.
	vouches = 3 * time.Second
)

// errRefused is what has become of a claim that was reset or ended without a byte.
var errRefused = errors.New("the user has left already, or who answers there is not the relay that has told of the user")

// tolerance is how many claims in a row may be refused. The zero value is maxFailed.
type tolerance struct{ doublings atomic.Int32 }

func (t *tolerance) limit() int32 { return min(maxFailed<<t.doublings.Load(), maxTolerated) }

func (t *tolerance) raise() {
	if t.limit() < maxTolerated {
		t.doublings.Add(1)
	}
}

// lower takes back what so many refusals before a claim that has worked do not need.
func (t *tolerance) lower(refused int32) {
	doublings := t.doublings.Load()
	if doublings > 0 && refused < t.limit()/2 {
		t.doublings.CompareAndSwap(doublings, doublings-1) // or somebody else has
	}
}

// claim opens the data connection for the user with this id. A failure is the
// relay's to tell the user: it resets who is not claimed in time.
func (r *registration) claim(id string, accepted protocol.Acceptor) {
	conn, err := protocol.Send(r.ctx, r.dial, wire.Request{Options: r.preamble.Claim, Verb: verb, ID: id})
	if err != nil {
		if r.hasFailed(err) >= maxFailed {
			r.lose(fmt.Errorf("users cannot be served: %w", err))
		}
		return
	}
	accepted(r.ctx, protocol.NewFirstRead(conn, r.judge))
}

// judge learns from what has come first on the connection of a claim.
func (r *registration) judge(err error) {
	switch {
	case err == nil:
		r.vouched.Store(int64(time.Since(r.began) + vouches))
		r.client.tolerance.lower(r.failed.Swap(0))
	case sockerr.Is(err, syscall.ECONNRESET), r.isResetByProxy(err):
		err = fmt.Errorf("%w (%w)", errRefused, err)
		if r.hasFailed(err) >= r.client.tolerance.limit() {
			r.client.tolerance.raise()
			r.lose(err)
		}
	}
}

// isResetByProxy reports whether err is what TCP proxies make of a reset. With TLS that
// is an end of TCP alone, which no user's is. Without, it is an end in place of who the
// user is; where the relay does not say that, it may be a user's who has nothing to say.
func (r *registration) isResetByProxy(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) && r.introduced()
}

// introduced reports whether the relay says who a user is before anything else.
func (r *registration) introduced() bool {
	return slices.ContainsFunc(r.preamble.Registration, func(o wire.Option) bool { return o.Key == wire.OptionProxy })
}

// hasFailed counts a claim that has failed, and gives how many have in a row. One that
// this machine was short of something for does not count: to register anew would fail
// for the same reason, and lose the control connection. Nor does a refused one while
// another one's success vouches for the relay.
func (r *registration) hasFailed(err error) int32 {
	if r.ctx.Err() != nil {
		return 0 // because the registration has ended
	}
	if r.client.OnFailure != nil {
		r.client.OnFailure(err)
	}
	if sockerr.IsShortage(err) || errors.Is(err, errRefused) && time.Since(r.began) < time.Duration(r.vouched.Load()) {
		return 0
	}
	return r.failed.Add(1)
}

// lose ends the registration for the given reason.
func (r *registration) lose(reason error) {
	r.cancel(reason)
	_ = r.control.Close() // wakes Serve
}
