// Package server is where relay clients enter. It accepts their connections, reads and
// answers what they request, and finds the endpoint for each that registers:
//
//   - handshake.go reads a request: a registration, or the claim of a user, which it hands
//     to the protocol.
//   - register.go identifies the relay client, has the protocol answer, and binds the
//     session to an endpoint.
//   - registrar.go finds that endpoint: the one of the relay client's lease, or a new one.
//
// It knows who may have which port. It is given protocols, listeners, identities and logger,
// and tells none of them from others of their kind. It dials nobody. How users enter is
// package entry's, and what becomes of them package endpoint's.
package server

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/entry"
	"github.com/seed96252745/relay/internal/front"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// Config is what a Server stands on. Protocols, Ports and Listen are needed.
type Config struct {
	// Protocols are the relay's halves of the protocols.
	Protocols []protocol.Relay
	// Ports are the public ports to choose from.
	Ports port.Range
	// Listen opens a public port.
	Listen func(port int) (conn.Listener, error)
	// Logger gets what an operator wants to know. Nil discards it.
	Logger *slog.Logger
	// Sinks get every event, beside the log, which leaves lines out.
	Sinks []observe.Sink
	// Limits bound what everybody may have.
	Limits admission.Limits
	// TrustedProxies are load balancers before the public ports, which put a PROXY
	// protocol header of version 1 or 2 before each user's bytes. Others that do so
	// are not believed.
	TrustedProxies []netip.Prefix
	// ControlProxies are load balancers before the control port, which put such a header
	// before what a relay client says. Introduce takes it away, and gives the connection
	// as one of the relay client's.
	ControlProxies []netip.Prefix
	Introduce      func(conn conn.Conn) (conn.Conn, error)
	// Identify says who a relay client is, from its connection and the token that
	// it has shown, which may be none. An error that is a *wire.Refusal is told to
	// it. Nil takes everybody, as nobody in particular.
	Identify func(conn conn.Conn, token string) (auth.Identity, error)
	// WatchOwner is for a port that is leased to an identity and that nobody serves.
	// It has ended called, once, when the identity may not have that port any more,
	// and stop ends that; if that is so by now it gives the reason as an error, and
	// nothing to stop. Ended must not wait. Nil is that all may keep what they have.
	WatchOwner func(identity string, port int, ended func(reason error)) (stop func(), err error)
	// Secure gives what a relay client's lines are read from: conn itself, or what
	// it carries encrypted. It keeps to the deadlines of conn, and leaves it to its
	// caller to close it after an error. Nil is conn itself.
	Secure func(conn conn.Conn) (conn.Conn, error)
	// Encrypted says that Secure takes nothing that is not encrypted.
	Encrypted bool
	// Front is another way in for relay clients, or nil.
	Front front.Front
	// Leases keeps what ports are leased, for the next start. Nil forgets it.
	Leases lease.Store
	// Lease is for how long a port is kept while its owner is away, and
	// IdentityLease for owners who are known. Zero means 5 minutes, and 24 hours.
	Lease, IdentityLease time.Duration
	// EvictAfter is how long an owner has to have been away before its lease gives way
	// to further tunnels of its address. Zero means a minute.
	EvictAfter time.Duration
	// Probe is how often relay clients that can are asked whether they could serve a user.
	// Zero is never.
	Probe time.Duration
	// Estate is what the process has left from which this one takes over, or nil. Begin has
	// to follow.
	Estate *Estate
}

// withDefaults gives a configuration that is complete.
func (c Config) withDefaults() Config {
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Identify == nil {
		c.Identify = func(conn.Conn, string) (auth.Identity, error) { return auth.Identity{}, nil }
	}
	if c.WatchOwner == nil {
		c.WatchOwner = func(string, int, func(error)) (func(), error) { return func() {}, nil }
	}
	if c.Secure == nil {
		c.Secure = func(conn conn.Conn) (conn.Conn, error) { return conn, nil }
	}
	if c.Introduce == nil {
		c.Introduce = func(conn conn.Conn) (conn.Conn, error) { return conn, nil }
	}
	if c.Leases == nil {
		c.Leases = lease.Forget{}
	}
	c.Lease = cmp.Or(c.Lease, defaultLease)
	c.IdentityLease = cmp.Or(c.IdentityLease, defaultIdentityLease)
	c.EvictAfter = cmp.Or(c.EvictAfter, defaultEvictAfter)
	c.Limits = c.Limits.WithDefaults()
	return c
}

// ErrServerClosed is returned by Serve after Shutdown or Close.
var ErrServerClosed = errors.New("relay closed")

// Server is a relay. Make it with New. Its methods may be called concurrently.
type Server struct {
	config    atomic.Pointer[Config] // in force: see Reconfigure
	log       *slog.Logger
	events    observe.Sink
	protocols map[wire.Verb]protocol.Relay
	verbs     []wire.Verb // of protocols
	admission *admission.Controller
	endpoints *endpoint.Group
	entries   *entry.Config
	registrar registrar

	gate       gate // of registrations
	succession succession
	handshakes sync.WaitGroup

	mu        sync.Mutex // guards what follows, and that nothing starts after its end
	listeners map[conn.Listener]struct{}
}

// New returns a server that has opened the ports that are leased, does nothing else
// yet, and has to be closed. It fails if descriptors are short.
func New(config Config) (*Server, error) {
	config = config.withDefaults()
	engine, err := join.NewEngine() // before the reserve takes what descriptors there are
	if err != nil {
		return nil, err
	}
	s := &Server{
		log:       config.Logger,
		protocols: make(map[wire.Verb]protocol.Relay),
		listeners: make(map[conn.Listener]struct{}),
	}
	for _, p := range config.Protocols {
		s.protocols[p.Verb()] = p
		s.verbs = append(s.verbs, p.Verb())
	}
	s.config.Store(&config)
	s.events = s.sinks(newLog(config.Logger, config.Limits.LogLines, func() { s.admission.Counters.Add(admission.LogLines) }))
	s.admission = admission.NewController(config.Limits, slices.Concat(config.TrustedProxies, config.ControlProxies), s.events)
	s.entries = &entry.Config{
		Acceptor: entry.Acceptor{Admission: s.admission, Log: s.log, Watch: engine.Watch}, Events: s.events,
		TrustedProxies: config.TrustedProxies, MaxHeaders: config.Limits.Waiting,
	}
	s.endpoints = endpoint.NewGroup(endpoint.Config{
		Engine: engine, Admission: s.admission, Events: s.events, UserWait: config.Limits.UserWait, Waiting: config.Limits.Waiting,
		Probe: config.Probe,
	})
	ports := lease.NewPorts(config.Listen)
	s.succession.endpoints = s.endpoints
	s.registrar = registrar{
		succession: &s.succession,
		config:     &s.config, log: s.log, events: s.events, admission: s.admission,
		ports: ports, endpoints: s.endpoints, entries: s.entries,
		leases: lease.NewRegistry(lease.Config{
			Store: config.Leases, Ports: ports, Log: s.log, TTL: config.Lease,
			// No source has caused that the relay was down: no budget holds.
			Events: s.sinks(&observe.Log{Logger: s.log}), IdentityTTL: config.IdentityLease,
			Watch: func(identity string, port int, ended func(error)) (stop func(), err error) {
				return s.config.Load().WatchOwner(identity, port, func(reason error) { s.endpoints.Go(func() { ended(reason) }) })
			},
		}),
	}
	inherited := s.inherit(config.Estate)
	save := s.registrar.leases.Restore(s.registrar.restore)
	s.endpoints.Go(func() {
		save()
		for _, h := range inherited {
			h.Save() // which the store may not have
		}
	})
	return s, nil
}

// Serve takes relay clients from l until Shutdown or Close, and then returns
// ErrServerClosed. It closes l.
func (s *Server) Serve(l conn.Listener) error { return s.serve(l, s.startHandshake) }

func (s *Server) serve(l conn.Listener, start func(conn.Conn)) error {
	if !s.trackListener(l) {
		_ = l.Close()
		return ErrServerClosed
	}
	defer s.untrackListener(l)
	closed := s.endpoints.Closed()
	receive := func(c conn.Conn) (wait func()) { return s.receive(c, start) }
	err := s.entries.Serve(closed, l, receive, entry.Shortage{Lend: s.admission.Reserve.LendSpare, Handle: start})
	switch {
	case closed.Err() != nil:
		return ErrServerClosed
	case s.succession.successor() != nil:
		return ErrSucceeded
	}
	return err
}

// Shutdown lets users who are connected finish, and takes no others: public ports
// close, registrations are refused, and each tunnel ends with its last user. It does not
// wait for users on whose connections nothing moves: they are reset. When all have
// ended, or ctx is done, it closes the server. It returns ctx's error if users had to be
// reset because of that.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.Close()
	return s.endpoints.Drain(ctx)
}

// Close ends everything at once: users are reset, tunnels and listeners are
// closed. It returns when all goroutines have ended.
func (s *Server) Close() {
	s.endpoints.Reset()
	s.mu.Lock()
	for l := range s.listeners {
		_ = l.Close()
	}
	s.mu.Unlock()
	s.handshakes.Wait()
	s.endpoints.Close()
	s.admission.Close()
}

// trackHandshake counts a handshake, unless the server has been closed.
func (s *Server) trackHandshake() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endpoints.Closed().Err() != nil {
		return false
	}
	s.handshakes.Add(1)
	return true
}

func (s *Server) trackListener(l conn.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endpoints.Draining().Err() != nil {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) untrackListener(l conn.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
	_ = l.Close()
}
