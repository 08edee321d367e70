package relay

import (
	"errors"
	"log/slog"
	"time"

	"github.com/seed96252745/relay/internal/observe"
)

// rest logs why a try has failed, or the tunnel was lost, and begins the pause before the next
// try.
func (k *keeper) rest(why *TunnelEvent) {
	k.endPause()
	pause := k.retry.next()
	fields := []any{"event", why.Name, "relay", k.service.request.relay, "error", why.Err, "in", pause.Round(time.Millisecond).String()}
	if why.Code != "" {
		fields = append(fields, "code", why.Code)
	}
	message := "not registered at the relay; trying again"
	if k.tunnel != nil {
		message = "cannot register anew at the relay; the registration that there is serves on; trying again"
	}
	k.service.options.Logger.Log(k.closed, why.Level, message, fields...)
	k.pause = time.NewTimer(pause)
}

// report reports how a try or a tunnel has ended.
func (k *keeper) report(why *TunnelEvent) {
	if code := refusalIn(why.Err).Code; code != "" {
		why.Name, why.Code = string(observe.RequestRefused), code
	}
	if before := k.retry.standby; k.retry.failed(why.Err) && before {
		why.Level = slog.LevelDebug // the log has it, and this may go on for days
	}
	k.service.options.report(*why)
}

// refusalIn returns the refusal that an error is, or an empty one.
func refusalIn(err error) *RefusedError {
	refused := new(RefusedError)
	errors.As(err, &refused)
	return refused
}
