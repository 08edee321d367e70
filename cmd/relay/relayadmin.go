package main

import (
	"cmp"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/seed96252745/relay/internal/admin"
	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/history"
	"github.com/seed96252745/relay/internal/metrics"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/page"
	"github.com/seed96252745/relay/internal/server"
)

// relayAdmin is what the operator of a relay sees it by.
type relayAdmin struct {
	started time.Time
	history *history.History
	events  *admin.Stream
	metrics *metrics.Metrics
	log     *slog.Logger
}

func newRelayAdmin(f *flags, log *slog.Logger) relayAdmin {
	return relayAdmin{
		started: time.Now().UTC(), history: history.New(), events: admin.NewStream(),
		metrics: metrics.NewRelay(metrics.Config{Version: version(), Tunnels: f.adminServer.metricsTunnels, Logger: log}),
		log:     log,
	}
}

// sinks returns what the relay tells its events to.
func (a relayAdmin) sinks() []observe.Sink {
	return []observe.Sink{a.history, a.events, a.metrics.Sink()}
}

// start serves the admin API of a relay until stop is called. Drain begins its end.
func (a relayAdmin) start(f *flags, s *server.Server, controlPort int, e encryption, drain func()) (stop func(), err error) {
	lines := connectLines(f, controlPort, e)
	c := node.AdminConfig{
		Server: s, History: a.history, Drain: drain, Problems: relayProblems(f, e), LinesDropped: f.linesDropped, Host: cmp.Or(f.tls.acmeDomain, f.config.Bind),
		About: api.Status{
			Version: version(), Started: a.started, Control: net.JoinHostPort(f.config.Bind, strconv.Itoa(controlPort)),
			Ports: f.ports, Open: f.isOpen(), Connect: lines,
		},
	}
	if tokens := f.config.Tokens; tokens != nil {
		c.Reload = tokens.Reload
		c.NewToken = func(name string) (secret, line string, err error) {
			secret, err = tokens.Add(name)
			return secret, lines[len(lines)-1], err // encrypted, if there is encryption
		}
	}
	n := node.NewAdmin(c)
	a.metrics.Watch(n, func() metrics.Usage { return usageOf(s.State()) })
	return adminServer{
		flags: f, kind: api.Relay, number: controlPort, log: a.log,
		certificate: func() (getCertificate, error) { return e.certificate, nil },
	}.start(admin.Config{Node: n, Events: a.events, Metrics: a.metrics.Handler(), Page: page.Handler(), Log: a.log})
}

// usageOf returns what metrics show of a relay's state.
func usageOf(s server.State) metrics.Usage {
	return metrics.Usage{
		Handshakes: s.Handshakes, Delayed: s.Stalled, Ports: s.Ports, Sessions: s.Held.Sessions, Idle: s.Held.Idle,
		Buffered: s.Held.Buffered, MaxBuffered: s.Held.MaxBuffered, Descriptors: s.Descriptors, MaxDescriptors: s.MaxDescriptors,
		Stalled: s.StalledJoins, MaxStalled: s.MaxStalledJoins,
		ShutOut: s.Counters.Of(admission.ShutOut), Shortages: s.Counters.Of(admission.Shortages), LogLines: s.Counters.Of(admission.LogLines),
	}
}
