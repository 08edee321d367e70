package main

import (
	"context"
	"errors"
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
	flags   *flags // of the process
	node    *forwarder.Node
	keys    *stateKeys
	forced  context.Context    // done when all users are reset
	cut     context.CancelFunc // has it done
	events  *admin.Stream
	metrics *metrics.Metrics
}

// openForwarder makes the forwarder of a setup. Drain begins the end of the process.
func openForwarder(s *setup, printed io.Writer, log *slog.Logger, drain func()) (*forwarderPart, error) {
	p := &forwarderPart{log: log, printed: printed, flags: s.process, events: admin.NewStream(), keys: newStateKeys(s.process, log)}
	p.forced, p.cut = context.WithCancel(context.Background())
	services, err := p.services(s)
	if err != nil {
		p.cut()
		return nil, err
	}
	p.node, err = forwarder.New(services, forwarder.Config{Version: version(), Drain: drain})
	if err != nil {
		p.cut()
		return nil, p.flags.renamed(err)
	}
	p.metrics = metrics.NewForwarder(metrics.Config{Version: version(), Tunnels: p.flags.adminServer.metricsTunnels, Logger: log})
	p.node.AddSink(p.events)
	p.node.AddSink(p.metrics.Sink())
	return p, nil
}

// services returns the services of a setup with all that they need.
func (p *forwarderPart) services(s *setup) ([]forwarder.Service, error) {
	services, err := s.open(p.keys, p.printed, p.log)
	for i := range services {
		services[i].Options.Cut = p.forced.Done()
	}
	return services, err
}

func (p *forwarderPart) close() {
	p.cut()
	p.node.Close()
}

// startAdmin serves the admin API of the forwarder until stop is called. Shown is what the
// process adds to what its node shows.
func (p *forwarderPart) startAdmin(adminListen bool, shown func(admin.Node) admin.Node) (stop func(), err error) {
	n := shown(p.node)
	p.metrics.Watch(n, nil)
	at, err := adminServer{
		flags: p.flags, kind: api.Forwarder, number: os.Getpid(), log: p.log, listens: adminListen, certificate: p.flags.ownCertificate,
	}.start(admin.Config{Node: n, Events: p.events, Metrics: p.metrics.Handler(), Page: page.Handler(), Log: p.log})
	if err != nil {
		return nil, err
	}
	return at.stop, nil
}

// run forwards until ctx is done, and then drains.
func (p *forwarderPart) run(ctx context.Context) error {
	defer onSecondSignal(ctx, p.log, p.cut)()
	return p.flags.renamed(p.node.Run(ctx))
}

// prepare reads what other settings name, and returns what puts them in force. Until then
// nothing is changed.
func (p *forwarderPart) prepare(next *setup) (use func() error, err error) {
	services, err := p.services(next)
	if err != nil {
		return nil, err
	}
	apply, err := p.node.Prepare(services)
	if err != nil {
		return nil, next.process.renamed(err)
	}
	return func() error {
		p.metrics.SetTunnels(next.process.adminServer.metricsTunnels)
		return errors.Join(apply(), p.node.Reload())
	}, nil
}
