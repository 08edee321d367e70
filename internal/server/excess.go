package server

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/wire"
)

const (
	// maxHeldUp bounds the users of one port who wait for that, as Limits.Waiting
	// does by default for others: each is a goroutine.
	maxHeldUp = 128
	// excessInterval is how often the log, and the owner, are told that limits for
	// users are met.
	excessInterval = 10 * time.Second
)

// delay has a user wait who comes too fast. Its bytes stay in the kernel meanwhile.
func (p *publicPort) delay(u *user) {
	if !p.heldUp.Acquire(maxHeldUp) {
		u.fail(admission.LimitError(u.DelayedBy))
		return
	}
	u.turn.holdUp(u.Delay)
	p.exceeded(u.DelayedBy, false)
	p.server.running.Go(func() {
		defer p.heldUp.Release()
		timer := time.NewTimer(u.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
			p.route(u)
		case <-p.done:
			u.fail(p.ended())
		}
	})
}

// pause waits, unless ctx is done before.
func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// excess is what limits have done to the users of one port, for those to know who can
// do something about it: the operator, by a line in the log, and the owner, by a notice
// in the header of a user who comes.
type excess struct {
	untold atomic.Bool // the owner is to be told something

	mu     sync.Mutex // guards what follows
	of     wire.Notice
	logged telling
	owner  telling
	timer  *time.Timer // runs while there is something to log for which it is too soon
	ended  bool        // like the port: what comes now is counted alone
}

// telling is what somebody has been told.
type telling struct {
	of wire.Notice // all in all
	at time.Time   // zero if nothing
}

// due gives what is to be told, if that is not too soon.
func (t *telling) due(of wire.Notice) (news wire.Notice, due bool) {
	if of == t.of || !t.at.IsZero() && time.Since(t.at) < excessInterval {
		return wire.Notice{}, false
	}
	return t.tell(of), true
}

// tell gives what is to be told.
func (t *telling) tell(of wire.Notice) (news wire.Notice) {
	news = wire.Notice{Limit: of.Limit, Waited: of.Waited - t.of.Waited, Reset: of.Reset - t.of.Reset}
	t.of, t.at = of, time.Now()
	return news
}

// exceeded notes that a user waits, or is reset, because of a limit.
func (p *publicPort) exceeded(kind admission.Kind, reset bool) {
	e := p.excess.Load()
	if e == nil {
		p.excess.CompareAndSwap(nil, new(excess))
		e = p.excess.Load()
	}
	e.mu.Lock()
	e.of.Limit = kind.String()
	if reset {
		e.of.Reset++
	} else {
		e.of.Waited++
	}
	news, due := p.dueLocked(e)
	e.mu.Unlock()
	e.untold.Store(true)
	if due {
		p.logExcess(news)
	}
}

// dueLocked gives what is to be logged by now. What is not is logged later, whether
// another user meets a limit until then or not.
func (p *publicPort) dueLocked(e *excess) (news wire.Notice, due bool) {
	if e.ended {
		return wire.Notice{}, false
	}
	news, due = e.logged.due(e.of)
	if e.of != e.logged.of && e.timer == nil {
		e.timer = time.AfterFunc(excessInterval-time.Since(e.logged.at), func() { p.server.aside(func() { p.logLater(e) }) })
	}
	return news, due
}

// logLater logs what was too soon to be logged when it happened.
func (p *publicPort) logLater(e *excess) {
	e.mu.Lock()
	e.timer = nil
	news, due := p.dueLocked(e)
	e.mu.Unlock()
	if due {
		p.logExcess(news)
	}
}

// endExcess logs what is left to be logged of a port that ends.
func (p *publicPort) endExcess() {
	if p.excess.CompareAndSwap(nil, &excess{ended: true}) {
		return
	}
	e := p.excess.Load()
	e.mu.Lock()
	e.ended = true
	if e.timer != nil {
		e.timer.Stop()
	}
	left := e.of != e.logged.of
	news := e.logged.tell(e.of)
	e.mu.Unlock()
	if left {
		p.logExcess(news)
	}
}

func (p *publicPort) logExcess(news wire.Notice) {
	p.mu.Lock()
	t, source := p.tunnel, p.source
	p.mu.Unlock()
	about := observe.Tunnel{Port: p.number}
	if t != nil {
		about, source = t.about(), t.source
	}
	p.server.events.Observe(observe.Event{
		Name: observe.UsersLimited, Level: slog.LevelWarn, Source: source.Prefix(), Tunnel: about,
		Limit: news.Limit, Delayed: news.Waited, Reset: news.Reset,
	})
}

// notice gives what the owner is to be told with the next user, or nothing.
func (p *publicPort) notice() []byte {
	e := p.excess.Load()
	if e == nil || !e.untold.Load() {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	news, due := e.owner.due(e.of)
	if !due {
		return nil
	}
	e.untold.Store(false)
	return news.Bytes()
}
