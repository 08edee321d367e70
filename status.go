package relay

import (
	"net"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/tcpstate"
)

// status is what is known of the registration of a listener. Its methods may be called
// concurrently.
type status struct {
	mu         sync.Mutex // guards what follows
	registered bool
	since      time.Time
	public     Addr // of the last registration
	err        error
	control    conn.Conn // that has registered, or nil
	roundTrip  time.Duration
}

// granted notes a registration that control has made.
func (s *status) granted(public Addr, control conn.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registered, s.since, s.public, s.err = true, time.Now(), public, nil
	s.control, s.roundTrip = control, 0
	s.measure()
}

// ended notes that the registration has ended, or that an attempt has failed.
func (s *status) ended(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.registered {
		s.registered, s.since = false, time.Now()
	}
	s.err, s.control, s.roundTrip = err, nil, 0
}

// measure asks the kernel for the round trip. The connection may have ended.
func (s *status) measure() {
	if s.control == nil {
		return
	}
	if measured := tcpstate.RoundTrip(s.control); measured > 0 {
		s.roundTrip = measured
	}
}

// addr returns the public address of the last registration, or nil.
func (s *status) addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.public.Port == 0 {
		return nil
	}
	return s.public
}

func (s *status) isRegistered() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.registered
}

// fill sets the fields of a state that are about the registration.
func (s *status) fill(f *ForwarderState) {
	f.Public = s.addr()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.measure()
	f.Registered, f.Since, f.Err, f.RoundTrip = s.registered, s.since, s.err, s.roundTrip
}
