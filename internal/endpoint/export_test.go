package endpoint

import (
	"context"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/wire"
)

// Report is what somebody was told of limits for users.
type Report struct{ of report }

// Due returns what there is to tell by now, or nothing.
func (r *Report) Due(total wire.Notice) string {
	news, due := r.of.due(total)
	if !due {
		return ""
	}
	return string(news.Bytes())
}

// Limited is an endpoint whose users meet limits.
type Limited struct{ e *Endpoint }

func NewLimited(events observe.Sink) Limited {
	return Limited{&Endpoint{group: &Group{config: Config{Events: events}, draining: context.Background()}}}
}

// Delay has a user wait.
func (l Limited) Delay(kind admission.Kind) { l.e.limited(kind, false) }

// End ends the endpoint.
func (l Limited) End() { l.e.endExcess() }

// Order is the order of users who come from one address, and go to one relay client.
type Order struct {
	of    order
	turns []*turn
	to    Tunnel
}

// Come has a user come who is delayed for so long.
func (o *Order) Come(delay time.Duration) {
	t := o.of.take(admission.Source{})
	if delay > 0 {
		t.holdUp(delay)
	}
	o.turns = append(o.turns, t)
}

// After returns the number of the user after whom another one comes.
func (o *Order) After(number uint64) uint64 { return o.turns[number-1].tell(&o.to).After }

// Mate returns a relay client of a group.
func Mate() *Tunnel { return &Tunnel{Client: Client{Group: "web"}} }

// GoTo has a user go to a relay client of a group.
func (o *Order) GoTo(number uint64, to *Tunnel) { o.turns[number-1].to.Store(to) }

// AfterAt returns the number of the user after whom another one comes, for a relay client of a
// group, which is told of it.
func (o *Order) AfterAt(number uint64, to *Tunnel) uint64 { return o.turns[number-1].tell(to).After }
