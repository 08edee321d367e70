// Package server is the relay: where relay clients and users enter, and where
// they meet.
//
//   - A relay client enters in handshake.go: its first lines say whether it
//     registers a tunnel or claims a user.
//   - A user enters in tunnel.go, at the public port of a tunnel.
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
	"net"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/tcpstate"
)

// Listener is where connections come from; package transport has some.
type Listener interface {
	// Accept waits for a connection. After Close it returns net.ErrClosed.
	Accept() (join.Conn, error)
	Addr() net.Addr
	Close() error
}

// Config is what a Server stands on. Protocols, Ports and Listen are needed.
type Config struct {
	// Protocols are the relay's halves of the protocols, by their verbs.
	Protocols map[string]protocol.Relay
	// Ports are the public ports to choose from.
	Ports PortRange
	// Listen opens a public port.
	Listen func(port int) (Listener, error)
	// Logger gets what an operator wants to know. Nil discards it.
	Logger *slog.Logger
	// HandshakeTimeout is how long a connection may take to say what it wants,
	// all in all. Zero means 5 s.
	HandshakeTimeout time.Duration
	// UserWait is how long a user waits for the relay client. Zero means 10 s.
	UserWait time.Duration
	// MaxWaiting is how many users of one tunnel may wait for the relay client
	// at a time; further ones stay in the kernel's queue until there is room.
	// Zero means 128.
	MaxWaiting int
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.HandshakeTimeout == 0 {
		c.HandshakeTimeout = 5 * time.Second
	}
	if c.UserWait == 0 {
		c.UserWait = 10 * time.Second
	}
	if c.MaxWaiting == 0 {
		c.MaxWaiting = 128
	}
	return c
}

// ErrServerClosed is returned by Serve after Shutdown or Close.
var ErrServerClosed = errors.New("relay closed")

// Server is a relay. Make it with New. Its methods may be called concurrently.
type Server struct {
	config Config
	log    *slog.Logger
	ports  *ports
	engine *join.Engine
	// watcher watches users who wait.
	watcher tcpstate.Watcher

	// Two stages of the end. Draining: no new tunnel, no new user. Closed: no
	// connection at all.
	drain, close        context.CancelFunc
	draining, closed    context.Context
	handshakes, tunnels sync.WaitGroup

	mu        sync.Mutex // guards what follows, and that nothing starts after its end
	listeners map[Listener]struct{}
}

// New gives a server that does nothing yet, and has to be closed. It fails if
// descriptors are short.
func New(config Config) (*Server, error) {
	config = config.withDefaults()
	engine, err := join.NewEngine()
	if err != nil {
		return nil, err
	}
	s := &Server{
		config:    config,
		log:       config.Logger,
		ports:     newPorts(config.Ports, config.Listen),
		engine:    engine,
		listeners: make(map[Listener]struct{}),
	}
	s.closed, s.close = context.WithCancel(context.Background())
	s.draining, s.drain = context.WithCancel(s.closed)
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
	err := acceptAll(s.closed, l, s.log, func(conn join.Conn) {
		s.startHandshake(conn)
	})
	if s.closed.Err() != nil {
		return ErrServerClosed
	}
	return err
}

// Shutdown lets users who are connected finish, and takes no others: public
// ports close, registrations are refused, and each tunnel ends with its last
// user. When all have ended, or ctx is done, it closes the server. It returns
// ctx's error if users had to be reset.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock() // so that no tunnel starts beside the Wait below
	s.drain()
	s.mu.Unlock()
	idle := make(chan struct{})
	go func() {
		s.tunnels.Wait()
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

// Close ends everything at once: users are reset, tunnels and listeners are
// closed. It returns when all goroutines have ended.
func (s *Server) Close() {
	s.mu.Lock()
	s.close()
	for l := range s.listeners {
		_ = l.Close()
	}
	s.mu.Unlock()
	s.handshakes.Wait()
	s.tunnels.Wait()
	s.engine.Close()
	s.watcher.Close()
}

// startHandshake answers conn. A claim that has come already takes no goroutine;
// one that comes within a moment, which is what it takes to start a goroutine,
// does not have to be waited for.
func (s *Server) startHandshake(conn join.Conn) {
	if !s.trackHandshake() {
		_ = conn.Reset()
		return
	}
	if s.claimNow(conn) {
		s.handshakes.Done()
		return
	}
	go func() {
		defer s.handshakes.Done()
		if s.claimNow(conn) {
			return
		}
		defer context.AfterFunc(s.closed, func() { _ = conn.Reset() })()
		s.handshake(conn)
	}()
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
