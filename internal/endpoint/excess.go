package endpoint

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/wire"
)

// excessInterval is how often the log, and the owner, are told that users meet limits.
const excessInterval = 10 * time.Second

// excess is what limits have done to the users of one endpoint. Two are told who can do
// something about it: the operator, by an event, and the owner, by a notice in the header
// of a user who comes.
type excess struct {
	endpoint *Endpoint
	untold   atomic.Bool // the owner is to be told something

	mu     sync.Mutex // guards what follows
	total  wire.Notice
	logged report
	owner  report
	timer  *time.Timer // runs while there is something to log for which it is too soon
	ended  bool        // like the endpoint: what comes now is counted alone
}

// report is what somebody has been told.
type report struct {
	total wire.Notice
	at    time.Time // zero if nothing
}

// due returns what is to be told, if that is not too soon.
func (r *report) due(total wire.Notice) (news wire.Notice, due bool) {
	if total == r.total || !r.at.IsZero() && time.Since(r.at) < excessInterval {
		return wire.Notice{}, false
	}
	return r.update(total), true
}

// update returns what is to be told.
func (r *report) update(total wire.Notice) (news wire.Notice) {
	news = wire.Notice{Limit: total.Limit, Waited: total.Waited - r.total.Waited, Reset: total.Reset - r.total.Reset}
	r.total, r.at = total, time.Now()
	return news
}

// limited notes that a user waits, or is reset, because of a limit.
func (e *Endpoint) limited(kind admission.Kind, reset bool) {
	x := e.excess.Load()
	if x == nil {
		e.excess.CompareAndSwap(nil, &excess{endpoint: e})
		x = e.excess.Load()
	}
	x.mu.Lock()
	x.total.Limit = kind.String()
	if reset {
		x.total.Reset++
	} else {
		x.total.Waited++
	}
	news, due := x.dueLocked()
	x.mu.Unlock()
	x.untold.Store(true)
	if due {
		x.log(news)
	}
}

// dueLocked returns what is to be logged by now. What is too soon is logged later,
// whether another user meets a limit until then or not.
func (x *excess) dueLocked() (news wire.Notice, due bool) {
	if x.ended {
		return wire.Notice{}, false
	}
	news, due = x.logged.due(x.total)
	if x.total != x.logged.total && x.timer == nil {
		x.timer = time.AfterFunc(excessInterval-time.Since(x.logged.at), func() { x.endpoint.group.Go(x.logLater) })
	}
	return news, due
}

// logLater logs what was too soon to be logged when it happened.
func (x *excess) logLater() {
	x.mu.Lock()
	x.timer = nil
	news, due := x.dueLocked()
	x.mu.Unlock()
	if due {
		x.log(news)
	}
}

// endExcess logs what is left to be logged of an endpoint that closes.
func (e *Endpoint) endExcess() {
	if e.excess.CompareAndSwap(nil, &excess{ended: true}) {
		return
	}
	x := e.excess.Load()
	x.mu.Lock()
	x.ended = true
	if x.timer != nil {
		x.timer.Stop()
	}
	left := x.total != x.logged.total
	news := x.logged.update(x.total)
	x.mu.Unlock()
	if left {
		x.log(news)
	}
}

func (x *excess) log(news wire.Notice) {
	e := x.endpoint
	event := observe.Event{
		Name: observe.UsersLimited, Level: slog.LevelWarn, Limit: news.Limit, Delayed: news.Waited, Reset: news.Reset,
	}
	e.mu.Lock()
	event.Source, event.Tunnel = e.Source.Prefix(), e.aboutLocked()
	if len(e.members.all) > 0 {
		event.Source = e.members.all[0].Source.Prefix()
	}
	e.mu.Unlock()
	e.group.config.Events.Observe(event)
}

// notice returns what the owner is to be told with the next user, or nothing.
func (e *Endpoint) notice() []byte {
	x := e.excess.Load()
	if x == nil || !x.untold.Load() {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	news, due := x.owner.due(x.total)
	if !due {
		return nil
	}
	x.untold.Store(false)
	return news.Bytes()
}
