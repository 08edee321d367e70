package main

import (
	"log/slog"
	"os"

	"github.com/seed96252745/relay/cmd/relay/forwarder"
	"github.com/seed96252745/relay/internal/admin"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/metrics"
	"github.com/seed96252745/relay/internal/page"
)

// startForwarderAdmin serves the admin API of a forwarder that is about to run, until stop
// is called.
func startForwarderAdmin(f *flags, n *forwarder.Node, log *slog.Logger) (stop func(), err error) {
	events := admin.NewStream()
	counted := metrics.NewForwarder(metrics.Config{Version: version(), Tunnels: f.adminServer.metricsTunnels, Logger: log})
	counted.Watch(n, nil)
	n.AddSink(events)
	n.AddSink(counted.Sink())
	return adminServer{
		flags: f, kind: api.Forwarder, number: os.Getpid(), log: log,
		certificate: f.ownCertificate,
	}.start(admin.Config{Node: n, Events: events, Metrics: counted.Handler(), Page: page.Handler(), Log: log})
}
