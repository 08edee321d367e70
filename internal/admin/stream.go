package admin

import (
	"crypto/rand"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/observe"
)

const (
	// ringSize is how many events are kept for readers that are behind, and for those that
	// come back. A reader looks ten times a second: it misses none of up to 10,000 a
	// second. The ring takes some 400 KiB.
	ringSize = 1024
	// maxReaders bounds the streams, each of which can cost a part of a processor.
	maxReaders = 16
)

// entry is an event of the ring.
type entry struct {
	at    time.Time
	event observe.Event
}

// Stream is the live stream of events. It keeps the last of them for its readers, each of
// which has a place in the ring: a slow reader costs nobody else anything, and loses the
// oldest. It is a [observe.Sink]. Its methods may be called concurrently.
type Stream struct {
	run string // tells the numbers of this process from those of another

	mu      sync.Mutex // guards what follows
	last    uint64     // number of the last event; the first is 1
	ring    []entry    // event n is at n % ringSize
	readers map[*reader]struct{}
}

// reader is the place of one stream.
type reader struct {
	stream *Stream
	next   uint64        // number of the event to read next
	asleep bool          // waits for wake; guarded by the stream's mu, like next
	wake   chan struct{} // takes one
}

var _ observe.Sink = (*Stream)(nil)

// NewStream returns a stream without events.
func NewStream() *Stream {
	return &Stream{run: rand.Text()[:8], ring: make([]entry, ringSize), readers: make(map[*reader]struct{})}
}

// Observe adds an event, and waits for nobody.
func (s *Stream) Observe(e observe.Event) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	place := &s.ring[s.last%ringSize]
	place.at, place.event = now, e // in place: an event is large
	for r := range s.readers {
		if r.asleep {
			r.asleep = false
			select {
			case r.wake <- struct{}{}:
			default: // it has not seen the last one yet
			}
		}
	}
}

// open returns a reader of the events that are to come, or nil if there are too many
// readers. Of a reader that comes back, lastID is the ID of the last event that it has
// seen: it gets what it has missed since, as far as that is kept. To one that comes from a
// process that ran before this one, everything is new.
func (s *Stream) open(lastID string) *reader {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.readers) >= maxReaders {
		return nil
	}
	r := &reader{stream: s, next: s.last + 1, wake: make(chan struct{}, 1)}
	run, number, _ := strings.Cut(lastID, "-")
	if seen, err := strconv.ParseUint(number, 10, 64); err == nil {
		switch {
		case run != s.run:
			r.next = s.oldest()
		case seen < s.last:
			r.next = seen + 1
		}
	}
	s.readers[r] = struct{}{}
	return r
}

// id returns the ID of an event in the stream.
func (s *Stream) id(number uint64) string { return s.run + "-" + strconv.FormatUint(number, 10) }

// read fills into with the next events, of which the first has the number first, and
// returns how many were dropped before those. If there is none, the reader's wake gets
// something with the next one.
func (r *reader) read(into []entry) (n int, first, dropped uint64) {
	s := r.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if oldest := s.oldest(); r.next < oldest {
		dropped, r.next = oldest-r.next, oldest
	}
	first = r.next
	for n < len(into) && r.next <= s.last {
		into[n] = s.ring[r.next%ringSize]
		n, r.next = n+1, r.next+1
	}
	r.asleep = n == 0 && dropped == 0
	return n, first, dropped
}

// oldest returns the number of the oldest event that is kept. The mutex is held.
func (s *Stream) oldest() uint64 {
	if s.last < ringSize {
		return 1
	}
	return s.last - ringSize + 1
}

// close gives the reader's place back.
func (r *reader) close() {
	r.stream.mu.Lock()
	defer r.stream.mu.Unlock()
	delete(r.stream.readers, r)
}
