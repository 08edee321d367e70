package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/wire"
)

// Telling is what somebody was told of limits for users.
type Telling struct{ of telling }

// Due gives what there is to tell by now, or nothing.
func (t *Telling) Due(is wire.Notice) string {
	news, due := t.of.due(is)
	if !due {
		return ""
	}
	return string(news.Bytes())
}

// Exceeding is a public port whose users meet limits.
type Exceeding struct{ p *publicPort }

func NewExceeding(log *slog.Logger) Exceeding {
	limits := admission.Limits{}.WithDefaults()
	s := &Server{events: newLog(log, limits.LogLines, func() {}), draining: context.Background()}
	s.admission = admission.NewController(limits, nil, s.events)
	return Exceeding{&publicPort{server: s}}
}

// Exceeded has a user wait.
func (e Exceeding) Exceeded(kind admission.Kind) { e.p.exceeded(kind, false) }

// End ends the port.
func (e Exceeding) End() {
	e.p.endExcess()
	e.p.server.admission.Close()
}

// Order is the order of users who come from one address, and go to one relay client.
type Order struct {
	of    order
	turns []*turn
	to    tunnel
}

// Come has one come who is held up for so long.
func (o *Order) Come(wait time.Duration) {
	t := o.of.take(admission.Source{})
	if wait > 0 {
		t.holdUp(wait)
	}
	o.turns = append(o.turns, t)
}

// After gives the number of the one after whom another one comes.
func (o *Order) After(number uint64) uint64 { return o.turns[number-1].tell(&o.to).After }
