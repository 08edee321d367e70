package relay

import (
	"maps"
	"slices"
	"time"

	"github.com/seed96252745/relay/internal/wire"
)

const (
	// leaveTimeout bounds how long a listener that closes takes leave of the relay: a round trip
	// by satellite, and two more.
	leaveTimeout = 2 * time.Second
	// leaveTrips is for how many round trips connections for users may still be on their way
	// once the relay has answered: with event they are made and claimed then.
	leaveTrips = 2
	// leaveLeast is for machines that are near, and have much to do.
	leaveLeast = 20 * time.Millisecond
)

// leave takes leave of the relay, unless the options are against it.
func (l *Listener) leave() {
	wanted := l.wanted()
	if wanted.options.Drain < 0 {
		return
	}
	online := l.status.serviceOf(wanted)
	online.end.said().leave(wanted.options.Cut)
	if wanted.end != online.end { // since a moment ago
		wanted.end.said().leave(wanted.options.Cut)
	}
}

// leave tells the relay that the listener is about to close, and waits until the users whom the
// relay has for it have come, or until cut is closed. Without a control channel it does nothing.
func (s *serving) leave(cut <-chan struct{}) {
	began := time.Now()
	timeout := time.NewTimer(leaveTimeout)
	defer timeout.Stop()
	left := s.sayLeave()
	for _, answered := range left {
		select {
		case <-answered:
		case <-timeout.C:
			return
		case <-cut:
			return
		}
	}
	if len(left) == 0 {
		return
	}
	arriving := time.NewTimer(max(leaveTrips*time.Since(began), leaveLeast))
	defer arriving.Stop()
	select {
	case <-arriving.C:
	case <-timeout.C:
	case <-cut:
	}
}

// sayLeave says on all channels that the listener is about to close. What it returns is closed
// when the relay has answered, or the channels have ended.
func (s *serving) sayLeave() (left []<-chan struct{}) {
	s.saying.Lock()
	defer s.saying.Unlock()
	s.mu.Lock()
	channels := slices.Collect(maps.Keys(s.channels))
	s.mu.Unlock()
	for _, c := range channels {
		left = append(left, c.awaitLeft())
		c.quiet.Write([]byte(wire.LeaveLine))
	}
	return left
}

// awaitLeft returns what is closed when the relay gives the channel's registration no more
// users, or the channel has ended.
func (c *controlChannel) awaitLeft() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left == nil {
		c.left = make(chan struct{})
	}
	if c.ended {
		c.noteLeftLocked()
	}
	return c.left
}

// noteLeft notes that the relay gives no more users, as it was asked.
func (c *controlChannel) noteLeft() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noteLeftLocked()
}

func (c *controlChannel) noteLeftLocked() {
	if c.left != nil && !c.hasLeft {
		c.hasLeft = true
		close(c.left)
	}
}
