package join

import "context"

// Works returns nil when each event loop has come round once, or ctx's error: what a loop
// serves, listeners among it, has been attended to by then.
func (e *Engine) Works(ctx context.Context) error {
	round := make(chan struct{}, len(e.loops.all))
	for _, l := range e.loops.all {
		l.Post(task(func() { round <- struct{}{} }))
	}
	for range e.loops.all {
		select {
		case <-round:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
