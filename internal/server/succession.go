package server

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/entry"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// ErrSucceeded is returned by Serve when another process accepts in place of this one.
var ErrSucceeded = errors.New("another process of the relay has taken over")

// Successor is the process that has taken over from this one. Its methods may be called
// concurrently, and may wait.
type Successor interface {
	endpoint.Successor
	// Left says that nobody serves a port here any more, which was owner's, and that nobody
	// accepts there.
	Left(port int, owner string)
	// Control hands over a connection to the control port, and what has been read of it. It
	// takes c over.
	Control(c conn.Conn, read []byte) error
}

// Predecessor is a process from which this one has taken over, or one before that. Its methods
// may be called concurrently, and may wait. They fail once the process has ended.
type Predecessor interface {
	// Served says that an instance serves a port here. What the predecessor has there is to
	// take no more users.
	Served(port int, instance string)
	// Knows reports whether a claim with that key is for the predecessor.
	Knows(verb string, key wire.Key) (bool, error)
	// Claim hands over a claim of owner's. It takes c over.
	Claim(verb, owner, id string, c conn.Conn) error
}

// succession is what there is between this process and those before and after it. The zero
// value is a process without any. Its methods may be called concurrently.
type succession struct {
	endpoints *endpoint.Group
	asking    atomic.Int64 // claims whose ids predecessors are asked for

	mu    sync.Mutex // guards what follows
	next  Successor  // or nil
	older []Predecessor
	// foreign are ports that predecessors have open, by their numbers.
	foreign map[int]*foreignPort
	late    time.Time   // until when an id that nobody knows may be one of a predecessor that has ended
	any     atomic.Bool // there is, or was, another process; only written under mu
}

// lateIDs is for how long after the end of a predecessor its ids may still come: relay clients
// notice it at once, and what they have begun by then takes seconds.
const lateIDs = 30 * time.Second

// foreignPort is a port that a predecessor has open.
type foreignPort struct {
	holder Predecessor
	owner  string
	lease  *endpoint.Endpoint // nil without a lease: the port is reserved, and no more
	port   *entry.Port        // of the endpoint
	// rejected says that the lease is none that this process may have.
	rejected bool
}

// maxAsking bounds the claims whose ids predecessors are asked for at a time. An answer takes
// less than a millisecond.
const maxAsking = 1024

// concerns reports whether there is another process.
func (s *succession) concerns() bool { return s.any.Load() }

func (s *succession) successor() Successor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

func (s *succession) noteLocked() {
	if s.next != nil || len(s.older) > 0 {
		s.any.Store(true)
	}
}

// knewLately reports whether a predecessor has ended so lately that its ids may still come.
func (s *succession) knewLately() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Before(s.late)
}

// predecessors returns those that live.
func (s *succession) predecessors() []Predecessor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.older)
}

// served notes that a port is served here, perhaps in place of a predecessor.
func (s *succession) served(number int, instance string) {
	if !s.concerns() {
		return
	}
	s.mu.Lock()
	f := s.foreign[number]
	s.mu.Unlock()
	if f == nil {
		return
	}
	if f.port != nil {
		f.port.Release()
	}
	f.holder.Served(number, instance)
}

// freed notes that a public port is closed here. The successor is told that nobody serves it,
// or a predecessor that it may not go on.
func (s *succession) freed(number int, owner string) {
	if !s.concerns() {
		return
	}
	s.mu.Lock()
	next, f := s.next, s.foreign[number]
	delete(s.foreign, number)
	s.mu.Unlock()
	switch {
	case next != nil && f == nil:
		s.endpoints.Go(func() { next.Left(number, owner) })
	case next == nil && f != nil && s.endpoints.Draining().Err() == nil:
		s.endpoints.Go(func() { f.holder.Served(number, "") })
	}
}

// left takes a port over from a predecessor, and returns it, or nil if that one has it not.
func (s *succession) left(from Predecessor, number int) *foreignPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.foreign[number]
	if f == nil || f.holder != from {
		return nil
	}
	delete(s.foreign, number)
	return f
}

// begin returns the ports of the estate. Those that no predecessor has from now on are
// forgotten.
func (s *succession) begin() map[int]*foreignPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := maps.Clone(s.foreign)
	maps.DeleteFunc(s.foreign, func(_ int, f *foreignPort) bool { return f.holder == nil || f.rejected })
	return all
}

// forget forgets a predecessor that has ended, and returns its ports, with their owners.
func (s *succession) forget(p Predecessor) (owners map[int]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.older = slices.DeleteFunc(s.older, func(other Predecessor) bool { return other == p })
	s.late = time.Now().Add(lateIDs)
	owners = make(map[int]string)
	for number, f := range s.foreign {
		if f.holder == p {
			owners[number] = f.owner
		}
	}
	return owners
}

// knows reports whether a claim with this key finds something, or would have a moment ago.
func knows(p protocol.Relay, key wire.Key) bool {
	k, ok := p.(protocol.Knower)
	return ok && k.Knows(key)
}

// claimElsewhere looks for what a claim is for in other processes. It does not wait: a
// goroutine does, of which there is a bounded number.
func (h *handshake) claimElsewhere(owner string) {
	s := h.Server
	if s.succession.asking.Add(1) > maxAsking || !s.trackHandshake() {
		s.succession.asking.Add(-1)
		_ = h.conn.Reset()
		h.refused(protocol.ErrFull)
		return
	}
	moved := *h
	go func() {
		defer s.handshakes.Done()
		defer s.succession.asking.Add(-1)
		defer s.resetOnPanic(moved.conn)
		moved.refused(moved.claimOf(owner))
	}()
}

// claimOf hands a claim to the predecessor that knows its id, or to the successor, which knows
// more of them. If nobody does it is as any other unknown id.
func (h *handshake) claimOf(owner string) error {
	key := wire.KeyOf(owner, h.req.ID)
	for !h.gate.wait(h.endpoints.Closed()) {
		p, err := h.succession.whoKnows(h.req.Verb.Name, key)
		switch {
		case p != nil:
			return p.Claim(h.req.Verb.Name, owner, h.req.ID, h.conn)
		case err == nil:
			err := h.protocols[h.req.Verb].Claim(h.conn, owner, h.req.ID) // perhaps since a moment ago
			if errors.Is(err, protocol.ErrUnknownID) && h.succession.knewLately() {
				err = protocol.ErrLate // and nobody is banned for it
			}
			return err
		case h.gate.isOpen(): // a predecessor has ended meanwhile, and its ids with it
			_ = h.conn.Reset()
			return protocol.ErrLate
		}
	}
	return h.passOn()
}

// whoKnows returns the predecessor that knows the key of a claim, or nil. The error is why one
// cannot be asked.
func (s *succession) whoKnows(verb string, key wire.Key) (who Predecessor, err error) {
	type answer struct {
		from Predecessor
		yes  bool
		err  error
	}
	older := s.predecessors()
	answers := make(chan answer, len(older))
	for _, p := range older {
		go func() {
			yes, err := p.Knows(verb, key)
			answers <- answer{p, yes, err}
		}()
	}
	for range older {
		a := <-answers
		if a.yes {
			who = a.from
		}
		err = errors.Join(err, a.err)
	}
	return who, err
}

// passOn hands a request to the successor: the connection, and its lines. What is encrypted
// cannot be handed over, and its relay client has to come again.
func (h *handshake) passOn() error {
	var read bytes.Buffer
	_, _ = h.req.WriteTo(&read) // which does not fail
	if _, is := conn.Innermost(h.conn).(conn.Detachable); is {
		_ = h.conn.SetDeadline(noDeadline) // fails only on a connection that is closed
		return h.giveControl(h.conn, read.Bytes())
	}
	if h.req.IsClaim() {
		_ = h.conn.Reset()
		return protocol.ErrLate
	}
	return h.refuse(endpoint.ErrDraining)
}

// errNotPassed is why a relay client is refused that has come at the moment of an upgrade.
var errNotPassed = observe.WithReason(errors.New("the connection cannot be handed to the process that has taken over"), observe.Upgraded)

// giveControl hands a connection to the control port to the successor.
func (s *Server) giveControl(c conn.Conn, read []byte) error {
	next := s.succession.successor()
	if next == nil { // the server is closed
		_ = c.Reset()
		return errNotPassed
	}
	if err := next.Control(c, read); err != nil {
		return errors.Join(errNotPassed, err)
	}
	return nil
}
