package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/seed96252745/relay/cmd/relay/forwarder"
	"github.com/seed96252745/relay/internal/admin"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/metrics"
	"github.com/seed96252745/relay/internal/page"
)

// forwarderPart is the forwarder of a process. Make it with openForwarder, and close it.
type forwarderPart struct {
	log     *slog.Logger
	printed io.Writer
	flags   *flags // of the first service, with what all have in common
	node    *forwarder.Node
	cut     context.CancelFunc // resets all users
	events  *admin.Stream
	metrics *metrics.Metrics
}

// openForwarder makes the forwarder of a setup. Drain begins the end of the process.
func openForwarder(s *setup, printed io.Writer, log *slog.Logger, drain func()) (*forwarderPart, error) {
	if len(s.services) != 1 {
		return nil, fmt.Errorf("%s has %d services, and a process runs one: give each a file of its own", s.file.Path, len(s.services))
	}
	services, err := s.open(printed, log)
	if err != nil {
		return nil, err
	}
	only, f := services[0], s.services[0].flags
	forced, cut := context.WithCancel(context.Background())
	only.Options.Cut = forced.Done()
	// A process that is a relay, too, does not end because of a service.
	only.Options.KeepTrying = only.Options.KeepTrying || s.relay != nil
	n, err := forwarder.New(only.Relay, only.Local, &only.Options, forwarder.Config{Version: version(), Drain: drain})
	if err != nil {
		cut()
		return nil, f.renamed(err)
	}
	p := &forwarderPart{log: log, printed: printed, flags: f, node: n, cut: cut, events: admin.NewStream()}
	p.metrics = metrics.NewForwarder(metrics.Config{Version: version(), Tunnels: f.adminServer.metricsTunnels, Logger: log})
	n.AddSink(p.events)
	n.AddSink(p.metrics.Sink())
	return p, nil
}

func (p *forwarderPart) close() { p.cut() }

// startAdmin serves the admin API of the forwarder until stop is called. Shown is what the
// process adds to what its node shows.
func (p *forwarderPart) startAdmin(adminListen bool, shown func(admin.Node) admin.Node) (stop func(), err error) {
	n := shown(p.node)
	p.metrics.Watch(n, nil)
	return adminServer{
		flags: p.flags, kind: api.Forwarder, number: os.Getpid(), log: p.log, listens: adminListen, certificate: p.flags.ownCertificate,
	}.start(admin.Config{Node: n, Events: p.events, Metrics: p.metrics.Handler(), Page: page.Handler(), Log: p.log})
}

// run forwards until ctx is done, and then drains.
func (p *forwarderPart) run(ctx context.Context) error {
	defer onSecondSignal(ctx, p.log, p.cut)()
	return p.flags.renamed(p.node.Run(ctx))
}

// prepare reads what other settings name, and returns what puts them in force. Until then
// nothing is changed.
func (p *forwarderPart) prepare(next *setup) (use func() error, err error) {
	if _, err := next.open(p.printed, p.log); err != nil {
		return nil, err
	}
	return func() error {
		p.metrics.SetTunnels(next.process.adminServer.metricsTunnels)
		return p.node.Reload()
	}, nil
}
