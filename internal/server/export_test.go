package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/policy"
	"github.com/seed96252745/relay/internal/wire"
)

// MaxIdleAccounts is how many accounts of ports that are closed are remembered.
const MaxIdleAccounts = maxIdleAccounts

// Accounts are what owners use of their bounds.
type Accounts struct{ of *accounts }

func NewAccounts() Accounts { return Accounts{newAccounts(admission.Limits{}.WithDefaults())} }

// Account is one of a port that has been opened.
type Account struct {
	in *accounts
	of *account
	*bounds
}

func (a Accounts) Open(owner string, port int, rails policy.Policy) Account {
	of := a.of.open(owner, port, func() {})
	return Account{a.of, of, a.of.bounds(of, rails)}
}

func (a Accounts) Len() int {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	return len(a.of.of)
}

func (a Accounts) Stop() { a.of.stop() }

// Close closes the port.
func (a Account) Close() { a.in.close(a.of) }

// Move moves some bytes.
func (a Account) Move(n int) { a.bytes.AllowN(time.Now(), n) }

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
	s := &Server{log: log, draining: context.Background()}
	s.admission.excessLines = admission.NewLines(admission.Limits{}.WithDefaults().LogLines)
	return Exceeding{&publicPort{server: s}}
}

// Exceeded has a user wait.
func (e Exceeding) Exceeded(kind admission.Kind) { e.p.exceeded(kind, false) }

// End ends the port.
func (e Exceeding) End() { e.p.endExcess() }

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
