package endpoint

import (
	"errors"
	"log/slog"
	"time"

	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/wire"
)

// said notes what the relay client has said on its control channel: why users cannot be
// served, or "". It returns what to report.
func (h *health) said(failure wire.ProbeFailure) observe.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return observe.Event{}
	}
	if h.down = failure != ""; h.down {
		h.why = failure.String()
		return h.showLocked()
	}
	h.why = ""
	return h.changeLocked(observe.Up, "") // whatever the last probe has found
}

// changeLocked notes what was found, and returns the event to report, if there is one.
func (h *health) changeLocked(to observe.State, failure string) observe.Event {
	h.found, h.failure = to, failure
	return h.showLocked()
}

// showLocked changes the state, and returns the event to report, if there is one. A relay
// client that does not answer is worse than what it has said before.
func (h *health) showLocked() observe.Event {
	from, to, failure := h.now.State, h.found, h.failure
	switch {
	case !h.down || to == observe.Silent || to == observe.Unreachable:
	case h.why != "":
		to, failure = observe.LocalServerDown, h.why
	default:
		to, failure = observe.Unknown, ""
	}
	if from == to && h.now.Failure == failure {
		return observe.Event{}
	}
	h.now.Failure = failure
	if from != to {
		h.now.State, h.now.Since = to, time.Now()
		h.tunnel.setAiling(to != observe.Up && to != observe.Unknown)
	}
	e := observe.Event{Name: observe.TunnelStateChanged, Source: h.tunnel.Source.Prefix(), Tunnel: h.tunnel.about(), From: from, To: to}
	switch {
	case to != observe.Up:
		e.Level = slog.LevelWarn
	case from == observe.Unknown: // as is expected
		e.Level = slog.LevelDebug
	}
	if failure != "" {
		e.Err = errors.New(failure)
	}
	return e
}

// report gives an event to the sinks.
func (h *health) report(e observe.Event) {
	if e.Name != "" {
		h.tunnel.endpoint.group.config.Events.Observe(e)
	}
}
