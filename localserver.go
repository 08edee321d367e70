package relay

import (
	"sync"
	"time"
)

// LocalServer is what the last connection to a local server has shown. A Forwarder connects
// to it when a user comes, and for the probes of the relay.
type LocalServer struct {
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
	addr string

	mu   sync.Mutex // guards what follows
	seen LocalServer
}

// tried notes how an attempt to connect has ended.
func (s *localServer) tried(took time.Duration, err error) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen.Tried.IsZero() || (s.seen.Err == nil) != (err == nil) {
		s.seen.Since = now
	}
	s.seen.Tried, s.seen.Took, s.seen.Err = now, took, err
}

func (s *localServer) state() LocalServer {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	seen.Addr = s.addr
	return seen
}
