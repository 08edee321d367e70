package admin

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"github.com/seed96252745/relay/internal/api"
)

// Bounds of what one connection, and all together, may take. They hold for strangers too,
// where the API is served to more than its owner.
const (
	// maxConns is for each listener, so that a crowd at the TCP one leaves the socket to
	// the owner. A browser has 6.
	maxConns = 64
	// headerWait is how long the header of a request may take.
	headerWait = 10 * time.Second
	// requestWait and answerWait are for a whole request and its answer. A page of 10,000
	// users takes a slow line some seconds.
	requestWait = 30 * time.Second
	answerWait  = 30 * time.Second
	// idleWait is how long a connection may stay without a request.
	idleWait = time.Minute
	// maxHeader is twice the usual bound of proxies.
	maxHeader = 16 << 10
	// closeWait is how long answers may take that are on their way when Close is called.
	closeWait = time.Second
)

// Config is what a [Server] serves.
type Config struct {
	Node Node
	// Events is the live stream of events.
	Events *Stream
	// Metrics is served at /metrics, and Page at / and below. Nil is none.
	Metrics, Page http.Handler
	// Settings returns the flags that are given, without what is secret. Nil is none.
	Settings func() map[string]string
	// Upgrade has another process take over from this one, and returns when it has, or why it
	// does not. Nil is that none can.
	Upgrade func(context.Context) (api.Upgrade, error)
	// Log gets what operators do with the API, and who may not.
	Log *slog.Logger
}

// Server serves the admin API. Its methods may be called concurrently.
type Server struct {
	Config
	readerWait time.Duration // see the constant
	ready      readiness
	closing    context.Context // of all requests
	close      context.CancelFunc

	mu       sync.Mutex // guards what follows
	closed   bool
	servers  map[net.Listener]*http.Server
	serving  sync.WaitGroup
	problems []api.Problem
}

// New returns a server that has no listeners yet.
func New(c Config) *Server {
	s := &Server{Config: c, readerWait: readerWait}
	s.closing, s.close = context.WithCancel(context.Background())
	return s
}

// Report adds a problem to those of the node, for as long as the server runs.
func (s *Server) Report(p api.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problems = append(s.problems, p)
}

func (s *Server) reported() []api.Problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.problems)
}

// Serve serves requests at a listener, to those who may have access, until Close. It closes
// the listener. After Close it returns [http.ErrServerClosed].
func (s *Server) Serve(l net.Listener, a Access) error {
	d := newDoor(s, a)
	server := &http.Server{
		Handler:           d,
		TLSConfig:         d.tlsConfig(),
		ReadHeaderTimeout: headerWait,
		ReadTimeout:       requestWait,
		WriteTimeout:      answerWait,
		IdleTimeout:       idleWait,
		MaxHeaderBytes:    maxHeader,
		Protocols:         new(http.Protocols),
		// What strangers do wrong with HTTP and TLS.
		ErrorLog:    slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return s.closing },
	}
	server.Protocols.SetHTTP1(true) // one request at a time bounds what a connection takes
	if !s.track(l, server) {
		_ = l.Close()
		return http.ErrServerClosed
	}
	defer s.serving.Done()
	bounded := netutil.LimitListener(l, maxConns)
	if server.TLSConfig != nil {
		return server.ServeTLS(bounded, "", "")
	}
	return server.Serve(bounded)
}

// track reports whether the server may start.
func (s *Server) track(l net.Listener, server *http.Server) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.servers == nil {
		s.servers = make(map[net.Listener]*http.Server)
	}
	s.servers[l] = server
	s.serving.Add(1)
	return true
}

// Leave ends serving at a listener, whose socket another process has from now on: browsers that
// are connected here come to that one. Serve returns [http.ErrServerClosed].
func (s *Server) Leave(l net.Listener) {
	s.mu.Lock()
	server := s.servers[l]
	delete(s.servers, l)
	s.mu.Unlock()
	if server != nil {
		_ = server.Close()
	}
}

// Close ends everything: streams at once, and other answers when they are complete, or
// after a second. It waits for all of it.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	servers := slices.Collect(maps.Values(s.servers))
	s.mu.Unlock()
	s.close()
	patience, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	for _, server := range servers {
		if err := server.Shutdown(patience); errors.Is(err, context.DeadlineExceeded) {
			_ = server.Close()
		}
	}
	s.serving.Wait()
}
