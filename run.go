package relay

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/seed96252745/relay/internal/observe"
)

// keeper keeps the service online that a listener is to have. It makes before it breaks: while
// it registers anew, because the relay says so or the service is another one, the tunnel that
// there is serves on. Only the goroutine of run uses it.
type keeper struct {
	*Listener
	service *service   // that is to be online
	tunnel  *tunnel    // that is online, or nil
	moving  bool       // it has to register anew: the relay has said so, or may have another one
	before  bool       // something was granted
	started []localEnd // of service and tunnel

	trying *try         // or nil
	tries  chan *try    // that have ended; holds one
	gaveUp time.Time    // when a tunnel was given up that may have stood in the way
	lost   *TunnelEvent // the end of the tunnel, to be reported when trying has ended, or nil
	retry  backoff      // chooses pauses
	moves  *rate.Limiter
	pause  *time.Timer // before the next try, or nil
}

// try is an attempt to register.
type try struct {
	service *service
	cancel  context.CancelFunc
	vain    bool // another service is to be online
	granted *granted
	err     error
}

// run keeps the service registered until Close, and begins with what has been granted, if that
// is not nil. It returns an error if the relay refuses what it has never granted, for a reason
// that lasts.
func (l *Listener) run(first *granted) error {
	defer close(l.done)
	k := &keeper{Listener: l, service: l.wanted(), tries: make(chan *try, 1), moves: rate.NewLimiter(rate.Every(moveInterval), movesAtOnce)}
	defer k.end()
	if first != nil {
		k.tunnel, k.before = l.serve(first), true
	}
	for l.closed.Err() == nil {
		k.startEnds()
		k.begin()
		if err := k.wait(); err != nil {
			return err
		}
	}
	return nil
}

// settled is how old a tunnel is before another one is to take its place. The relay answers
// before it binds a tunnel: of two that come at once it might bind the earlier one last.
const settled = 100 * time.Millisecond

// A relay that says to move whenever a relay client has registered has it do so once in
// moveInterval, when it has done so movesAtOnce times: each registration that has another one in
// its place is there for letGoAfter. An operator does not upgrade a relay as often.
const (
	movesAtOnce  = 10
	moveInterval = 5 * time.Second
)

// wait waits for something to happen, and does what follows from it.
func (k *keeper) wait() error {
	var ended, moved <-chan struct{}
	if k.tunnel != nil && !k.moving {
		moved = k.tunnel.moved
	}
	if k.tunnel != nil {
		ended = k.tunnel.ended
	}
	var pause <-chan time.Time
	if k.pause != nil {
		pause = k.pause.C
	}
	select {
	case t := <-k.tries:
		k.trying = nil
		return k.tried(t)
	case <-ended:
		k.lose()
	case <-moved:
		k.move()
	case <-k.replaced:
		k.replace()
	case <-pause:
		k.pause = nil
	case <-k.soon:
		k.endPause()
	case <-k.closed.Done():
	}
	return nil
}

// begin begins to register, if that is wanted now.
func (k *keeper) begin() {
	online := k.tunnel != nil && !k.moving && k.tunnel.service.request == k.service.request
	if online || k.trying != nil || k.pause != nil {
		return
	}
	if k.tunnel != nil {
		if young := settled - time.Since(k.tunnel.since); young > 0 {
			k.pause = time.NewTimer(young)
			return
		}
	}
	ctx, cancel := context.WithCancel(k.closed)
	t := &try{service: k.service, cancel: cancel}
	k.trying = t
	k.tunnels.Go(func() {
		defer cancel()
		t.granted, t.err = k.register(ctx, t.service)
		k.tries <- t
	})
}

// tried goes on after a try. It returns an error if there is no sense in another one.
func (k *keeper) tried(t *try) error {
	if t.err == nil {
		k.grant(t.granted)
		return nil
	}
	if errors.As(t.err, new(unansweredError)) && k.tunnel != nil {
		k.moving = true // the relay may have bound it, and give the tunnel no users any more
	}
	if k.lost != nil { // and not because of this try
		k.report(k.lost)
		k.lost = nil
	}
	if t.vain {
		return nil
	}
	why := &TunnelEvent{Name: string(observe.RegistrationFailed), Level: slog.LevelWarn, Err: t.err}
	k.report(why)
	refused := refusalIn(t.err)
	k.status.failed(t.err)
	if refused.lasts() && !k.before && !k.service.options.KeepTrying {
		return refused
	}
	if refused.isInUse() {
		k.giveUp(t.err)
	}
	k.rest(why)
	return nil
}

// grant has what was granted take the place of the tunnel that there is, or was until then.
func (k *keeper) grant(g *granted) {
	if now := k.service; g.service.request == now.request {
		if g.service.end != now.end { // and the relay was told of the one before
			now.end.said().takeOver(nil, nil)
		}
		g.service = now
	}
	old, lost := k.tunnel, k.lost
	k.opened(g)
	k.tunnel, k.before, k.moving, k.lost = k.serve(g), true, false, nil
	if old != nil {
		lost = old.closedEvent()
		old.letGo()
	}
	if lost != nil { // after that another one was opened, for those who count
		lost.Level, lost.Reason, lost.Err = slog.LevelInfo, string(observe.RegisteredAnew), nil
		k.report(lost)
	}
}

// lose goes on after the end of the tunnel. The relay may have ended it because of a try, whose
// end comes to light later.
func (k *keeper) lose() {
	t := k.tunnel
	k.tunnel, k.moving = nil, false
	k.retry.served(time.Since(t.since), t.headers.served.Load())
	k.status.ended(t.why)
	k.lost = t.closedEvent()
	if k.trying == nil {
		why := k.lost
		k.lost = nil
		k.report(why)
		k.rest(why)
	}
}

// giveUp ends a tunnel for another service than the one that is to be online, which the relay
// refuses as in use: the tunnel may be what stands in the way, of this service or of another one
// that does the same. So the next tries are soon.
func (k *keeper) giveUp(why error) {
	if t := k.tunnel; t != nil && t.service.request != k.service.request {
		closed := t.closedEvent()
		closed.Level, closed.Reason = slog.LevelInfo, string(observe.RegisteredAnew)
		_ = t.Close()
		k.tunnel, k.moving, k.gaveUp = nil, false, time.Now()
		k.status.ended(why)
		k.service.options.report(*closed)
	}
	if soon := k.gaveUp.Add(soonFor); time.Now().Before(soon) {
		k.retry.soon = soon
	}
}

// replace has another service be online.
func (k *keeper) replace() {
	k.service = k.wanted()
	k.tryAtOnce()
	if k.trying != nil && k.trying.service.request != k.service.request {
		k.trying.vain = true
		k.trying.cancel()
	}
	if k.tunnel != nil && k.tunnel.service.request == k.service.request {
		k.tunnel.use(k.service)
		k.status.changed(k.service)
	}
}

// move registers anew, as the relay has said: at once, unless it has said so too often. The
// tunnel serves on meanwhile.
func (k *keeper) move() {
	k.moving = true
	k.tryAtOnce()
	pause := k.moves.Reserve().Delay()
	if pause > 0 {
		k.pause = time.NewTimer(pause)
	}
	k.tunnel.service.options.Logger.Info("the relay has said to register anew: another process answers at its address", "in", pause.Round(time.Millisecond).String())
}

// tryAtOnce has the next try be at once, and the pauses after it be short again.
func (k *keeper) tryAtOnce() {
	k.retry.pause = 0
	k.endPause()
}

func (k *keeper) endPause() {
	if k.pause != nil {
		k.pause.Stop()
		k.pause = nil
	}
}

// startEnds starts the ends of the service and the tunnel, and stops the others.
func (k *keeper) startEnds() {
	used := []localEnd{k.service.end}
	if k.tunnel != nil && k.tunnel.service.end != k.service.end {
		used = append(used, k.tunnel.service.end)
	}
	k.changeEnds(used)
}

func (k *keeper) changeEnds(used []localEnd) {
	for _, e := range k.started {
		if !slices.Contains(used, e) {
			e.stop()
		}
	}
	for _, e := range used {
		if !slices.Contains(k.started, e) {
			e.start()
		}
	}
	k.started = used
}

// end ends what there is. It waits for all goroutines but those that drain.
func (k *keeper) end() {
	k.endPause()
	k.changeEnds(nil)
	if k.trying != nil {
		if t := <-k.tries; t.err == nil {
			k.serve(t.granted) // which ends at once
		}
	}
	if k.tunnel != nil {
		<-k.tunnel.ended
		k.status.ended(k.tunnel.why)
		k.lost = k.tunnel.closedEvent()
	}
	if k.lost != nil {
		k.lost.Level, k.lost.Reason, k.lost.Err = slog.LevelInfo, string(observe.Draining), nil
		k.service.options.report(*k.lost)
	}
	k.tunnels.Wait()
}
