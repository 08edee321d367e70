package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
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

// startAdmin serves the admin API of a relay until p.seenAt is stopped. Drain begins the end
// of the process. Shown is what the process adds to what its node shows, and upgrade has
// another process take over.
func (p *relayPart) startAdmin(adminListen bool, drain func(), shown func(admin.Node) admin.Node, upgrade func(context.Context) (api.Upgrade, error)) (err error) {
	f := p.now.Load().flags
	c := node.AdminConfig{
		Server: p.server, History: p.seen.history, Drain: drain, LinesDropped: f.linesDropped, About: p.about(),
		Problems: func() []api.Problem { return p.now.Load().problems() },
		Host:     cmp.Or(f.tls.acmeDomain, f.config.Bind),
	}
	if tokens := f.config.Tokens; tokens != nil {
		c.Reload = tokens.Reload
		c.NewToken = func(name string) (secret, line string, err error) {
			secret, err = tokens.Add(name)
			lines := p.about().Connect
			return secret, lines[len(lines)-1], err // encrypted, if there is encryption
		}
	}
	p.admin = node.NewAdmin(c)
	n := shown(p.admin)
	p.seen.metrics.Watch(n, func() metrics.Usage { return usageOf(p.server.State()) })
	p.seenAt, err = adminServer{
		flags: f, kind: api.Relay, number: p.port, log: p.log, listens: adminListen, certificate: p.adminCertificate, from: p.from,
	}.start(admin.Config{Node: n, Events: p.seen.events, Metrics: p.seen.metrics.Handler(), Page: page.Handler(), Log: p.log,
		Settings: func() map[string]string { return p.now.Load().flags.settings() }, Upgrade: upgrade})
	return err
}

// adminCertificate returns the certificate of the admin page: always that of the relay.
func (p *relayPart) adminCertificate() (getCertificate, error) {
	if p.now.Load().encryption.certificate == nil {
		return nil, nil
	}
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if own := p.now.Load().encryption.certificate; own != nil {
			return own(hello)
		}
		return nil, errors.New("the relay has no certificate any more")
	}, nil
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
