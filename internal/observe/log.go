package observe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"github.com/seed96252745/relay/internal/crash"
)

// Log is a [Sink] that writes a line for each event. Its fields must not change once it
// is in use.
type Log struct {
	Logger *slog.Logger
	// Budgets bound the lines that one source can cause. An event without a budget is
	// always written.
	Budgets map[Name]Budget
	// LeftOut is called for each line that a budget does not allow. It is needed if there
	// are budgets.
	LeftOut func()
}

// Budget is a budget of lines for each source. It may be used concurrently.
type Budget interface {
	// Allow reports whether another line about a source may be written, and returns how
	// many were left out since the last one.
	Allow(source netip.Prefix) (leftOut int, ok bool)
}

var _ Sink = (*Log)(nil)

// Observe writes e, if its level is enabled. Otherwise it allocates nothing.
func (l *Log) Observe(e Event) {
	if l.Logger.Enabled(context.Background(), e.Level) {
		l.write(&e)
	}
}

func (l *Log) write(e *Event) {
	leftOut := 0
	if budget := l.Budgets[e.Name]; budget != nil {
		var ok bool
		if leftOut, ok = budget.Allow(e.Source); !ok {
			l.LeftOut()
			return
		}
	}
	fields := e.Fields()
	if leftOut > 0 {
		fields = append(fields, slog.Int("leftOutBefore", leftOut))
	}
	l.Logger.LogAttrs(context.Background(), e.Level, e.sentence(), fields...)
}

// mostFields is how many fields an event mostly has at most.
const mostFields = 16

// Fields returns the fields of the line about e in the log, in their order.
func (e *Event) Fields() []slog.Attr {
	f := append(make([]slog.Attr, 0, mostFields), slog.String("event", string(e.Name)))
	f = e.Tunnel.fields(f)
	f = text(f, "user", e.User)
	f = text(f, "proxy", e.Proxy)
	switch e.Name {
	case UserDone:
		if e.DialTime != 0 {
			f = append(f, duration("dialTime", e.DialTime, time.Microsecond))
		} else {
			f = append(f, duration("waited", e.Waited, time.Microsecond))
		}
		f = append(f, slog.Int64("received", e.Received), slog.Int64("sent", e.Sent),
			duration("duration", e.Duration, time.Microsecond))
	case RequestRefused:
		f = append(f, slog.Bool("claim", e.Claim))
	case SourceUnbanned:
		f = append(f, slog.String("source", SourceString(e.Source)))
	case SourceBanned:
		f = append(f, slog.String("source", SourceString(e.Source)), duration("for", e.Duration, time.Second))
	}
	for _, id := range [...]struct{ key, value string }{
		{"from", string(e.From)}, {"to", string(e.To)}, {"endedBy", string(e.EndedBy)}, {"how", string(e.How)},
		{"limit", Identifier(e.Limit)}, {"code", e.Code}, {"reason", string(e.Reason)},
	} {
		if id.value != "" {
			f = append(f, slog.String(id.key, id.value))
		}
	}
	switch {
	case e.Name == UsersLimited:
		f = append(f, slog.Int64("delayed", e.Delayed), slog.Int64("reset", e.Reset))
	case e.Name == LeaseEnded && e.Duration != 0:
		f = append(f, duration("awayFor", e.Duration, time.Second))
	}
	return failure(f, e)
}

func (t *Tunnel) fields(f []slog.Attr) []slog.Attr {
	if t.Port != 0 {
		f = append(f, slog.Int("port", t.Port))
	}
	if t.Protocol != "" {
		f = append(f, slog.String("protocol", t.Protocol))
	}
	f = text(f, "relayClient", t.RelayClient)
	if t.Identity != "" {
		f = append(f, slog.String("identity", t.Identity))
	}
	if t.Service != "" {
		f = append(f, slog.String("service", t.Service))
	}
	if t.Name != "" {
		f = append(f, slog.String("name", t.Name))
	}
	return f
}

// failure appends the error of e, if there is one.
func failure(f []slog.Attr, e *Event) []slog.Attr {
	var c *crash.Error
	switch {
	case e.Err == nil:
		return f
	case e.Name == Panicked && errors.As(e.Err, &c):
		return append(f, slog.String("panic", fmt.Sprint(c.Value)), slog.String("stack", c.Stack))
	}
	return append(f, slog.Any("error", e.Err))
}

func text(f []slog.Attr, key string, of fmt.Stringer) []slog.Attr {
	if of == nil {
		return f
	}
	return append(f, slog.String(key, of.String()))
}

func duration(key string, d, round time.Duration) slog.Attr {
	return slog.String(key, d.Round(round).String())
}

// SourceString returns a source as the log has it: an address alone as such.
func SourceString(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// Identifier returns the name of a counter as other values are written: usersPerSource is
// users_per_source.
func Identifier(counter string) string {
	var b strings.Builder
	for _, r := range counter {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}
