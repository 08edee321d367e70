// Package forwarder runs the services that a process puts online, and shows them to the admin
// API: as a node with a tunnel for each service, as a relay has one for each port.
package forwarder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/history"
	"github.com/seed96252745/relay/internal/observe"
)

// Config is what a Node stands on, beside its services.
type Config struct {
	Version string
	// Drain begins a graceful end. It must not wait.
	Drain func()
}

// Node is the forwarder of a process: any number of services, which share an engine. Make it
// with New. Its methods may be called concurrently.
type Node struct {
	config  Config
	started time.Time
	history *history.History
	sinks   []observe.Sink
	met     met
	engine  *relay.Engine
	running sync.WaitGroup // of services, and of Works

	changing sync.Mutex // held while services change

	mu       sync.Mutex     // guards what follows
	services []*service     // by their numbers; those included that are gone and have users
	last     uint64         // number given last
	run      func(*service) // runs one; nil before Run
	past     counts         // of services that were gone, and are no more
	ended    bool           // Run has begun to end; nothing begins any more
	err      error          // of the first service that has failed
}

// New returns a node with these services, which has to be closed. It returns an error if
// something in a service makes no sense, or if there are no descriptors left.
func New(services []Service, c Config) (*Node, error) {
	engine, err := relay.NewEngine()
	if err != nil {
		return nil, err
	}
	n := &Node{config: c, started: time.Now(), history: history.New(), engine: engine}
	apply, err := n.Prepare(services)
	if err != nil {
		engine.Close()
		return nil, err
	}
	return n, apply()
}

// named returns an error that says which service it is about.
func named(service string, err error) error {
	if service == "" {
		return err
	}
	return fmt.Errorf("services.%s: %w", service, err)
}

// AddSink has a sink get each event. It is called before Run.
func (n *Node) AddSink(s observe.Sink) { n.sinks = append(n.sinks, s) }

// Run runs all services until ctx is done, and waits until they have drained. A service that
// cannot register holds up none. If one fails for good, which is only one without
// Options.KeepTrying, the others end, too, and Run returns its error. It is called once at
// most.
func (n *Node) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n.mu.Lock()
	n.run = func(s *service) { n.runLocked(ctx, cancel, s) }
	for _, s := range n.services {
		n.run(s)
	}
	n.mu.Unlock()
	<-ctx.Done()
	n.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

// runLocked begins to run a service. Cancel ends all.
func (n *Node) runLocked(ctx context.Context, cancel context.CancelFunc, s *service) {
	ctx, s.end = context.WithCancel(ctx)
	n.running.Go(func() {
		defer s.end()
		err := s.forwarder.Run(ctx)
		n.mu.Lock()
		defer n.mu.Unlock()
		switch {
		case s.gone:
			n.services = slices.DeleteFunc(n.services, func(other *service) bool { return other == s })
			n.past.add(s.forwarder.State())
		case err != nil && n.err == nil:
			n.err = named(s.now.Load().Name, err)
			cancel()
		}
	})
}

// Close waits until all services have ended, and ends what they have in common. It is for a
// node that is not run; Run does it at its end.
func (n *Node) Close() {
	n.mu.Lock()
	n.ended = true
	n.mu.Unlock()
	n.running.Wait()
	n.engine.Close()
}

// errEnded is the error of what comes while the node ends.
var errEnded = errors.New("the forwarder has ended")

// begin counts something that uses the engine, until n.running.Done is called.
func (n *Node) begin() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ended {
		return errEnded
	}
	n.running.Add(1)
	return nil
}

// Works returns nil when the node has shown that it does not hang, or the error of ctx. It is
// for a watchdog.
func (n *Node) Works(ctx context.Context) error {
	if err := n.begin(); err != nil {
		return err
	}
	defer n.running.Done()
	n.Status() // which takes the locks of all services
	return n.engine.Works(ctx)
}

// all returns the services.
func (n *Node) all() []*service {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.services)
}

// staying returns the services that are not gone.
func (n *Node) staying() []*service {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(n.services), func(s *service) bool { return s.gone })
}
