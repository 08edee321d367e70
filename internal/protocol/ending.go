package protocol

import "context"

// Ending is the part of a Tunnel that tells of its end. Make it with NewEnding. Its
// methods may be called concurrently.
type Ending struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
}

// NewEnding gives that of a tunnel that takes users.
func NewEnding() Ending {
	ctx, cancel := context.WithCancelCause(context.Background())
	return Ending{ctx, cancel}
}

// End ends the tunnel for the given reason, unless it has ended already.
func (e Ending) End(reason error) { e.cancel(reason) }

// Done is Tunnel's.
func (e Ending) Done() <-chan struct{} { return e.ctx.Done() }

// Err is Tunnel's.
func (e Ending) Err() error { return context.Cause(e.ctx) }

// AfterDone is Tunnel's.
func (e Ending) AfterDone(f func()) (stop func() bool) { return context.AfterFunc(e.ctx, f) }
