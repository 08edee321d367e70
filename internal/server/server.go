// Package server is the relay: where relay clients and users enter, and where
// they meet.
//
//   - A relay client enters in handshake.go: its first lines say whether it
//     registers a tunnel or claims a user.
//   - A user enters in publicport.go.
//   - They meet in tunnel.go, (*tunnel).join: the protocol has opened a
//     connection to the relay client, and package join copies.
//
// The server does not know one protocol from another, and it is given all that
// it stands on: protocols, listeners, logger. It dials nobody.
package server

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/tcpstate"
	"github.com/seed96252745/relay/internal/wire"
)

// Listener is where connections come from; package transport has some.
type Listener = conn.Listener

// Config is what a Server stands on. Protocols, Ports and Listen are needed.
type Config struct {
	// Protocols are the relay's halves of the protocols.
	Protocols []protocol.Relay
	// Ports are the public ports to choose from.
	Ports port.Range
	// Listen opens a public port.
	Listen func(port int) (Listener, error)
	// Logger gets what an operator wants to know. Nil discards it.
	Logger *slog.Logger
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
	Identify func(conn conn.Conn, token string) (Identity, error)
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
	// Leases keeps what ports are leased, for the next start. Nil forgets it.
	Leases lease.Store
	// Lease is for how long a port is kept while its owner is away, and
	// IdentityLease for owners who are known. Zero means 5 minutes, and 24 hours.
	Lease, IdentityLease time.Duration
	// EvictAfter is how long an owner has to have been away before its lease gives way
	// to further tunnels of its address. Zero means a minute.
	EvictAfter time.Duration
}

// withDefaults gives a configuration that is complete.
func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Identify == nil {
		c.Identify = func(conn.Conn, string) (Identity, error) { return Identity{}, nil }
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
	if c.Lease == 0 {
		c.Lease = defaultLease
	}
	if c.IdentityLease == 0 {
		c.IdentityLease = defaultIdentityLease
	}
	if c.EvictAfter == 0 {
		c.EvictAfter = defaultEvictAfter
	}
	c.Limits = c.Limits.WithDefaults()
	return c
}

// ErrServerClosed is returned by Serve after Shutdown or Close.
var ErrServerClosed = errors.New("relay closed")

// Server is a relay. Make it with New. Its methods may be called concurrently.
type Server struct {
	config    Config
	log       *slog.Logger
	events    observe.Sink
	protocols map[wire.Verb]protocol.Relay
	verbs     []wire.Verb // of protocols
	ports     *lease.Ports
	leases    *lease.Registry
	engine    *join.Engine
	// watcher watches users who wait.
	watcher   tcpstate.Watcher
	admission *admission.Controller

	// Stages of the end. Draining: no new tunnel, no new user. Impatient: no user who
	// waits. Closed: no connection at all.
	drain, endWaits, close      context.CancelCauseFunc
	draining, impatient, closed context.Context
	handshakes                  sync.WaitGroup
	running                     sync.WaitGroup // public ports, who waits there, and tunnels

	mu        sync.Mutex // guards what follows, and that nothing starts after its end
	listeners map[Listener]struct{}
	open      map[int]*publicPort                       // by number
	tunnels   map[admission.Source]map[*tunnel]struct{} // that take users
}

// New gives a server that has opened the ports that are leased, does nothing else
// yet, and has to be closed. It fails if descriptors are short.
func New(config Config) (*Server, error) {
	config = config.withDefaults()
	engine, err := join.NewEngine()
	if err != nil {
		return nil, err
	}
	s := &Server{
		config:    config,
		log:       config.Logger,
		protocols: make(map[wire.Verb]protocol.Relay),
		ports:     lease.NewPorts(config.Listen),
		engine:    engine,
		listeners: make(map[Listener]struct{}),
		open:      make(map[int]*publicPort),
		tunnels:   make(map[admission.Source]map[*tunnel]struct{}),
	}
	for _, p := range config.Protocols {
		s.protocols[p.Verb()] = p
		s.verbs = append(s.verbs, p.Verb())
	}
	s.events = newLog(config.Logger, config.Limits.LogLines, func() { s.admission.Counters.Add(admission.LogLines) })
	s.admission = admission.NewController(config.Limits, slices.Concat(config.TrustedProxies, config.ControlProxies), s.events)
	crashed := func(e *crash.Error) { s.crashed(e) }
	engine.OnCrash, s.watcher.OnCrash = crashed, crashed
	engine.Reserve = s.admission.Reserve
	s.closed, s.close = context.WithCancelCause(context.Background())
	s.draining, s.drain = context.WithCancelCause(s.closed)
	s.impatient, s.endWaits = context.WithCancelCause(s.closed)
	s.leases = lease.NewRegistry(lease.Config{
		Store: config.Leases, Ports: s.ports, Log: s.log, Events: s.events, TTL: config.Lease, IdentityTTL: config.IdentityLease,
		Watch: func(identity string, port int, ended func(error)) (stop func(), err error) {
			return config.WatchOwner(identity, port, func(reason error) { s.aside(func() { ended(reason) }) })
		},
	})
	s.running.Go(s.leases.Restore(s.restore))
	return s, nil
}

// Serve takes relay clients from l until Shutdown or Close, and then returns
// ErrServerClosed. It closes l.
func (s *Server) Serve(l Listener) error {
	if !s.trackListener(l) {
		_ = l.Close()
		return ErrServerClosed
	}
	defer s.untrackListener(l)
	err := s.acceptAll(s.closed, l, s.startHandshake, shortage{s.admission.Reserve.LendSpare, s.startHandshake})
	if s.closed.Err() != nil {
		return ErrServerClosed
	}
	return err
}

// Shutdown lets users who are connected finish, and takes no others: public
// ports close, registrations are refused, and each tunnel ends with its last
// user. It does not wait for those on whose connections nothing moves: they are reset.
// When all have ended, or ctx is done, it closes the server. It returns
// ctx's error if users had to be reset because of that.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopTaking(s.drain)
	s.engine.EndStill(join.Stillness{Limit: stillLimit, Queued: stillQueued, Far: join.B, Ended: stillLimit})
	defer time.AfterFunc(stillLimit, func() { s.endWaits(errDraining) }).Stop()
	idle := make(chan struct{})
	go func() {
		s.running.Wait()
		close(idle)
	}()
	var err error
	select {
	case <-idle:
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.Close()
	<-idle
	return err
}

// While the server drains, its ports are refused to everybody.
const (
	// stillLimit is for how long it waits for a connection on which nothing moves, and
	// for a relay client that has not come for its user.
	stillLimit = 2 * time.Second
	// stillQueued is the same while bytes wait for one who reads slowly, and for what
	// was said last to a relay client. Behind one of those may be megabytes for a local
	// server, of which a good part has to go before more is taken here.
	stillQueued = 5 * time.Second
)

// Close ends everything at once: users are reset, tunnels and listeners are
// closed. It returns when all goroutines have ended.
func (s *Server) Close() {
	s.stopTaking(s.close)
	s.mu.Lock()
	for l := range s.listeners {
		_ = l.Close()
	}
	s.mu.Unlock()
	s.handshakes.Wait()
	s.running.Wait()
	s.engine.Close()
	s.watcher.Close()
	s.admission.Close()
}

// stopTaking ends what tells of the stage, after which nothing starts, and all
// public ports.
func (s *Server) stopTaking(end context.CancelCauseFunc) {
	s.mu.Lock()
	end(errDraining)
	open := slices.Collect(maps.Values(s.open))
	s.mu.Unlock()
	for _, p := range open {
		p.end(errDraining)
	}
}

// aside runs f for a caller who cannot wait. While the server drains, nothing new is
// begun that it would have to wait for, and the caller waits all the same.
func (s *Server) aside(f func()) {
	s.mu.Lock()
	begun := s.draining.Err() == nil
	if begun {
		s.running.Go(f)
	}
	s.mu.Unlock()
	if !begun {
		f()
	}
}

// startHandshake answers conn. A claim that has come already takes no goroutine,
// and no place among those who are waited for; it does not pass by a source that
// is shut out, though.
func (s *Server) startHandshake(conn conn.Conn) {
	if !s.trackHandshake() {
		_ = conn.Reset()
		return
	}
	if s.comesFrom(conn, s.config.ControlProxies) {
		s.startProxied(conn)
		return
	}
	if !s.config.Encrypted && !s.admission.AnyBanned() && s.claimNow(conn) {
		s.handshakes.Done()
		return
	}
	slot, banned := s.admitHandshake(conn)
	if slot == nil {
		s.handshakes.Done()
		return
	}
	go func() {
		defer s.handshakes.Done()
		s.answer(conn, slot, banned)
	}()
}

// answer answers a connection that was let in.
func (s *Server) answer(conn conn.Conn, slot *admission.Slot, banned bool) {
	defer s.admission.ReleaseHandshake(slot)
	if banned {
		s.answerBanned(conn, slot)
		return
	}
	s.handshake(conn, slot)
}

// trackHandshake counts a handshake, unless the server has been closed.
func (s *Server) trackHandshake() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Err() != nil {
		return false
	}
	s.handshakes.Add(1)
	return true
}

func (s *Server) trackListener(l Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Err() != nil {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) untrackListener(l Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
	_ = l.Close()
}
