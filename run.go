package relay

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
)

// run serves registration until Close, and registers anew whenever it is lost, or nil. It
// returns an error if the relay refuses what it has never granted, for a reason that
// lasts.
func (l *Listener) run(registration protocol.Registration) error {
	defer close(l.done)
	var retry backoff
	granted := false
	for {
		why := l.serveNext(registration, &retry)
		registration = nil
		l.status.ended(why.Err)
		if l.closed.Err() != nil {
			l.reportClosed(why)
			return nil
		}
		granted = granted || why.Name == string(observe.TunnelClosed)
		refused := new(RefusedError)
		if errors.As(why.Err, &refused) {
			why.Name, why.Code = string(observe.RequestRefused), refused.Code
		}
		if before := retry.standby; retry.failed(why.Err) && before {
			why.Level = slog.LevelDebug // the log has it, and this may go on for days
		}
		l.options.report(why)
		if refused.lasts() && !granted && !l.options.KeepTrying {
			return refused
		}
		l.pause(why, retry.next())
	}
}

// serveNext serves registration, or a new one if it is nil, until that is lost. It returns
// why there is none any more.
func (l *Listener) serveNext(registration protocol.Registration, retry *backoff) TunnelEvent {
	why := TunnelEvent{Name: string(observe.RegistrationFailed), Level: slog.LevelWarn}
	if registration == nil {
		if registration, why.Err = l.register(l.closed); why.Err != nil {
			return why
		}
	}
	why.Name, why.Public, why.Reason = string(observe.TunnelClosed), l.Addr(), string(observe.RelayLost)
	var user bool
	since := time.Now()
	user, why.Err = l.serve(registration)
	retry.served(time.Since(since), user)
	return why
}

// reportClosed reports the end of a registration, if there was one, that Close has ended.
func (l *Listener) reportClosed(e TunnelEvent) {
	if e.Name == string(observe.TunnelClosed) {
		e.Level, e.Reason, e.Err = slog.LevelInfo, string(observe.Draining), nil
		l.options.report(e)
	}
}

// pause logs why there is no registration, and waits before the next one.
func (l *Listener) pause(why TunnelEvent, pause time.Duration) {
	fields := []any{"event", why.Name, "relay", l.relay, "error", why.Err, "in", pause.Round(time.Millisecond).String()}
	if why.Code != "" {
		fields = append(fields, "code", why.Code)
	}
	l.options.Logger.Log(l.closed, why.Level, "not registered at the relay; trying again", fields...)
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.retry:
	case <-l.closed.Done():
	}
}

// retrySoon ends the pause before the next registration.
func (l *Listener) retrySoon() {
	if l.status.isRegistered() {
		return
	}
	select {
	case l.retry <- struct{}{}:
	default: // it is about to end
	}
}

// errMove is why a registration ends that the relay has said to replace.
var errMove = errors.New("the relay has said to register anew: another process answers at its address")

// serve hands on the connections of a registration until it is lost, the relay says to
// register anew, or the listener is closed. It returns why, and whether a user has come.
func (l *Listener) serve(registration protocol.Registration) (user bool, err error) {
	stop := context.AfterFunc(l.closed, func() { _ = registration.Close() })
	defer stop()
	var moved atomic.Bool
	headers := newHeaderReader(l.users, l.options.Logger, l.options.sink(), &l.serving, func() {
		if !moved.Swap(true) {
			l.draining.Go(func() { _ = registration.Close() })
		}
	})
	err = l.serveRegistration(registration, headers)
	_ = registration.Close()
	headers.wait()
	l.draining.Go(func() { registration.Wait(l.forced) })
	if moved.Load() {
		err = errMove
	}
	return headers.served.Load(), err
}
