package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/record"
)

// record logs what became of a user who was joined, once: who, for how long, how
// much, and who ended it, how. It is not held back like other lines that strangers
// cause: each has cost a connection, and those are bounded.
func (t *tunnel) record(u *user, joined time.Time, r join.Result) {
	if !t.port.server.log.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	by, how := t.endedBy(r)
	args := []any{
		"user", u.addr.String(),
		"waited", joined.Sub(u.came).Round(time.Microsecond).String(),
		"received", r.AToB, "sent", r.BToA,
		"duration", time.Since(joined).Round(time.Microsecond).String(),
		"endedBy", by, "how", how,
	}
	if r.Err != nil && by != record.ByRelay { // which has said all, and logs a panic with its stack
		args = append(args, "error", r.Err)
	}
	t.log(slog.LevelInfo, "user done", args...)
}

// inLog is an address as logs show it: one word, in JSON too.
type inLog struct{ net.Addr }

// LogValue gives that word.
func (a inLog) LogValue() slog.Value { return slog.StringValue(a.String()) }

// endedBy says who ended a joined connection, and how.
func (t *tunnel) endedBy(r join.Result) (by, how string) {
	by, how = record.Of(r, record.ByRelay, record.ByClient, t.alive.Err() != nil)
	switch {
	case how == record.Drain:
		return by, t.stopped()
	case by == record.ByServer && how == record.Lost && t.session.Ended().Err() != nil:
		return record.ByClient, how
	}
	return by, how
}

// stopped says why the relay has ended a connection. The tunnel has no reason where the
// relay shuts down and nothing has moved.
func (t *tunnel) stopped() string {
	reason := context.Cause(t.alive)
	if reason == nil || t.port.server.closed.Err() != nil || errors.Is(reason, context.Canceled) {
		return record.Drain
	}
	return reason.Error()
}
