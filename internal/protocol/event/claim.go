package event

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"syscall"

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
	// not be made, it takes twice as many each time, until one works.
	maxTolerated int32 = 256
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

func (t *tolerance) reset() { t.doublings.Store(0) }

// claim opens the data connection for the user with this id. A failure is the
// relay's to tell the user: it resets who is not claimed in time.
func (r *registration) claim(id string, accepted protocol.Acceptor) {
	conn, err := protocol.Send(r.ctx, r.dial, wire.Request{Options: r.preamble.Claim, Verb: wire.Event, ID: id})
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
		r.failed.Store(0)
		r.client.tolerance.reset()
	case sockerr.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF) && r.introduced():
		err = fmt.Errorf("%w (%w)", errRefused, err)
		if r.hasFailed(err) >= r.client.tolerance.limit() {
			r.client.tolerance.raise()
			r.lose(err)
		}
	}
}

// introduced reports whether the relay says who a user is before anything else. An end
// in its place is not the user's, who may have nothing to say, but what TCP proxies
// make of a reset.
func (r *registration) introduced() bool {
	return slices.ContainsFunc(r.preamble.Registration, func(o wire.Option) bool { return o.Key == wire.OptionProxy })
}

// hasFailed counts a claim that has failed, and gives how many have in a row. One that
// this machine was short of something for does not count: to register anew would fail
// for the same reason, and lose the control connection.
func (r *registration) hasFailed(err error) int32 {
	if r.ctx.Err() != nil {
		return 0 // because the registration has ended
	}
	if r.client.OnFailure != nil {
		r.client.OnFailure(err)
	}
	if sockerr.IsShortage(err) {
		return 0
	}
	return r.failed.Add(1)
}

// lose ends the registration for the given reason.
func (r *registration) lose(reason error) {
	r.cancel(reason)
	_ = r.control.Close() // wakes Serve
}
