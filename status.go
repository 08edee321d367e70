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
	service    *service // that is registered
	since      time.Time
	public     Addr // of the last registration
	err        error
	control    conn.Conn // that has registered, or nil
	roundTrip  time.Duration
}

// granted notes what was granted.
func (s *status) granted(g *granted) {
	control := g.dialer.control()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registered, s.since, s.service, s.public, s.err = true, time.Now(), g.service, g.public, nil
	s.control, s.roundTrip = control, 0
	s.measure()
}

// ended notes that the registration has ended.
func (s *status) ended(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.registered {
		s.registered, s.since = false, time.Now()
	}
	s.service, s.err, s.control, s.roundTrip = nil, err, nil, 0
}

// failed notes why an attempt to register has failed.
func (s *status) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// changed notes that the registration, if there is one, is for another service.
func (s *status) changed(to *service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.service, s.err = to, nil
}

// serviceOf returns the service that is registered, or else wanted.
func (s *status) serviceOf(wanted *service) *service {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.registered {
		return s.service
	}
	return wanted
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

// fill sets the fields of a state that are about the registration.
func (s *status) fill(f *ForwarderState) {
	f.Public = s.addr()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.measure()
	f.Registered, f.Since, f.Err, f.RoundTrip = s.registered, s.since, s.err, s.roundTrip
}
