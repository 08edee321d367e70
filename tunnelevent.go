package relay

import (
	"log/slog"
	"net"
	"time"

	"github.com/seed96252745/relay/internal/observe"
)

// TunnelEvent is something that has happened to a [Forwarder] or to a [Listener]: what a line of
// the log with event= says, for programs. A field that does not apply is zero.
//
// Name, From, To, EndedBy, How, Reason, Limit and Code are identifiers, which do not change.
// docs/operating.md lists them.
type TunnelEvent struct {
	Name  string     // such as "user_done"
	Level slog.Level // of the line in the log

	Public net.Addr // of a registration
	User   net.Addr

	DialTime time.Duration // how long the local server took to accept
	Duration time.Duration // how long a user was joined
	Received int64         // bytes from the user
	Sent     int64         // bytes to the user

	Delayed, Reset int64 // users that met Limit

	From, To string // of the local server: unknown, up or local_server_down

	EndedBy string
	How     string
	Reason  string
	Limit   string
	Code    string
	Err     error
}

// sink returns where events go: to the log, and to OnEvent.
func (o Options) sink() observe.Sink {
	log := &observe.Log{Logger: o.Logger}
	if o.OnEvent == nil {
		return log
	}
	return observe.Tee(log, eventSink(o.OnEvent))
}

// eventSink is a Sink that calls a function of the library's user.
type eventSink func(TunnelEvent)

// Observe calls the function, if there is one.
func (s eventSink) Observe(e observe.Event) {
	if s != nil {
		s(TunnelEvent{
			Name: string(e.Name), Level: e.Level, User: e.User,
			DialTime: e.DialTime, Duration: e.Duration, Received: e.Received, Sent: e.Sent,
			Delayed: e.Delayed, Reset: e.Reset, From: string(e.From), To: string(e.To),
			EndedBy: string(e.EndedBy), How: string(e.How), Reason: string(e.Reason), Limit: observe.Identifier(e.Limit), Code: e.Code, Err: e.Err,
		})
	}
}

// report tells OnEvent of something that has a line of its own in the log.
func (o Options) report(e TunnelEvent) {
	if o.OnEvent != nil {
		o.OnEvent(e)
	}
}
