package relay

import (
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/transport"
)

// LocalServer is what the last connection to a local server has shown. A Forwarder connects
// to it when a user comes, and for the probes of the relay. With Options.HealthCheck it is what
// the last check has shown, but for a first one that fails.
type LocalServer struct {
	// Addr is the address that NewForwarder was given.
	Addr string
	// Tried is when the last attempt to connect has ended, or zero without any; Took is how
	// long it took, and Err why it has failed, or nil.
	Tried time.Time
	Took  time.Duration
	Err   error
	// Since is when the first attempt has ended since which all have succeeded, or all have
	// failed.
	Since time.Time
}

// localServer keeps what is known of the local server. Its methods may be called
// concurrently.
type localServer struct {
	addr transport.LocalAddr

	mu   sync.Mutex // guards what follows
	seen LocalServer
}

// tried notes how an attempt to connect has ended. It returns how the local server did
// before, and does now.
func (s *localServer) tried(took time.Duration, err error) (from, to observe.State) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	from, to = stateOf(&s.seen), observe.Up
	if err != nil {
		to = observe.LocalServerDown
	}
	if from != to {
		s.seen.Since = now
	}
	s.seen.Tried, s.seen.Took, s.seen.Err = now, took, err
	return from, to
}

func stateOf(s *LocalServer) observe.State {
	switch {
	case s.Tried.IsZero():
		return observe.Unknown
	case s.Err != nil:
		return observe.LocalServerDown
	}
	return observe.Up
}

func (s *localServer) state() LocalServer {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	seen.Addr = s.addr.String()
	return seen
}
