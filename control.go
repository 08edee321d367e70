package relay

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/quiet"
	"github.com/seed96252745/relay/internal/wire"
)

// serving is whether a listener can serve users, as it says so to the relay. The zero value
// is a listener that can, and is ready.
type serving struct {
	saying sync.Mutex // held while channels are told, which does not wait

	mu       sync.Mutex        // guards what follows
	line     string            // what was said last, or ""
	failure  wire.ProbeFailure // or "" if users can be served
	channels map[*controlChannel]struct{}
}

// set says that users cannot be served, and why, or with "" that they can.
func (s *serving) set(failure wire.ProbeFailure) {
	s.saying.Lock()
	defer s.saying.Unlock()
	line := wire.ServingLine(failure)
	s.mu.Lock()
	s.line, s.failure = line, failure
	channels := slices.Collect(maps.Keys(s.channels))
	s.mu.Unlock()
	for _, c := range channels {
		c.quiet.Write([]byte(line))
	}
}

// change is set, unless that was said last.
func (s *serving) change(failure wire.ProbeFailure) {
	s.mu.Lock()
	said := s.line == wire.ServingLine(failure)
	s.mu.Unlock()
	if !said {
		s.set(failure)
	}
}

// awaitFirst has the listener be given no users before something is said.
func (s *serving) awaitFirst() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = wire.ProbeUnhealthy
}

// get returns why users cannot be served, or "".
func (s *serving) get() wire.ProbeFailure {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// option returns what a registration says.
func (s *serving) option() wire.Control {
	if s.get() != "" {
		return wire.ControlDown
	}
	return wire.ControlUp
}

// start has the channel say what there is to say, from now on.
func (s *serving) start(c *controlChannel) {
	s.saying.Lock()
	defer s.saying.Unlock()
	c.quiet.Start([]byte(s.add(c)))
}

// add adds a channel, unless it has ended, and returns what was said last.
func (s *serving) add(c *controlChannel) (line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.channels == nil {
		s.channels = make(map[*controlChannel]struct{})
	}
	if !c.hasEnded() {
		s.channels[c] = struct{}{}
	}
	return s.line
}

// takeOver has a channel, if it is not nil, say what s says from now on, in place of another. If
// nothing was said yet, and users can be served, that is to be said: the other one may have
// said that they cannot.
func (s *serving) takeOver(c *controlChannel, from *serving) {
	s.saying.Lock()
	defer s.saying.Unlock()
	s.mu.Lock()
	if s.failure == "" {
		s.line = wire.ServingLine("")
	}
	s.mu.Unlock()
	if c == nil {
		return
	}
	from.remove(c)
	c.quiet.Write([]byte(s.add(c)))
}

func (s *serving) remove(c *controlChannel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.channels, c)
}

const (
	// maxControlLines is how many lines the relay may send on a control channel in
	// controlPeriod: it has something to say when it is exchanged.
	maxControlLines = 60
	controlPeriod   = time.Minute
)

// controls are the control channels of one registration, of which there is one at a time: a
// new one takes the place of another, which the relay has lost.
type controls struct {
	using sync.Mutex // held while it changes what a channel says, which does not wait

	// move is called when the relay has said that another process answers at its address. It
	// must not wait.
	move func()

	mu      sync.Mutex      // guards what follows
	serving *serving        // what a channel says
	last    *controlChannel // or nil
}

// controlChannel is a connection on which the relay says what concerns the registration, and
// the listener whether it can serve users (docs/protocol.md, "Control").
type controlChannel struct {
	headers *headerReader
	quiet   *quiet.Conn

	reader  wire.ControlReader // only the reader uses it, and what follows
	lines   int                // since counted
	counted time.Time

	mu      sync.Mutex // guards what follows
	unbind  func() bool
	ended   bool
	left    chan struct{} // nil until the listener takes leave: see awaitLeft
	hasLeft bool          // left is closed
}

// control takes over a connection that is the control channel from now on, until registered
// is done. It does not wait. Its caller is pending.
func (r *headerReader) control(registered context.Context, c conn.Conn) {
	_ = c.SetReadDeadline(time.Time{}) // fails only on a closed connection, which the next call notices
	ch := &controlChannel{headers: r, counted: time.Now()}
	ch.quiet = quiet.New(c, quiet.Owner{Watch: r.next.whenReadable, Go: ch.run, Received: ch.receive, Failed: ch.fail})
	r.pending.Add(1)
	ch.mu.Lock()
	ch.unbind = context.AfterFunc(registered, ch.end)
	ch.mu.Unlock()
	r.controls.start(ch)
}

// use has the channel that there is, and those to come, say what another one says.
func (c *controls) use(said *serving) {
	c.using.Lock()
	defer c.using.Unlock()
	c.mu.Lock()
	before, last := c.serving, c.last
	c.serving = said
	c.mu.Unlock()
	if before != said {
		said.takeOver(last, before)
	}
}

// remove removes a channel that has ended.
func (c *controls) remove(ch *controlChannel) {
	c.mu.Lock()
	said := c.serving
	c.mu.Unlock()
	said.remove(ch)
}

// start has a channel take the place of another.
func (c *controls) start(ch *controlChannel) {
	c.using.Lock()
	defer c.using.Unlock()
	c.mu.Lock()
	before, said := c.last, c.serving
	c.last = ch
	c.mu.Unlock()
	if before != nil {
		before.end()
	}
	said.start(ch)
}

// run runs f on a goroutine that the headerReader waits for, unless the channel has ended.
func (c *controlChannel) run(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.headers.pending.Add(1)
	go func() {
		defer c.headers.pending.Done()
		defer func() {
			if p := crash.Caught(recover()); p != nil {
				c.end()
				c.headers.reportPanic(p)
			}
		}()
		f()
	}()
}

// fail ends the channel. The relay opens another one.
func (c *controlChannel) fail(error) { c.end() }

// end ends the channel. Only the first call counts.
func (c *controlChannel) end() {
	c.mu.Lock()
	first := !c.ended
	c.ended = true
	c.noteLeftLocked()
	c.mu.Unlock()
	if !first {
		return
	}
	defer c.headers.pending.Done()
	c.unbind()
	c.headers.controls.remove(c)
	c.quiet.Reset()
}

func (c *controlChannel) hasEnded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// receive takes the next part of what the relay sends.
func (c *controlChannel) receive(b []byte) {
	if now := time.Now(); now.Sub(c.counted) >= controlPeriod {
		c.lines, c.counted = 0, now
	}
	err := c.reader.Feed(b, func(line string) {
		if c.lines++; c.lines <= maxControlLines {
			c.hear(line)
		}
	})
	if err != nil || c.lines > maxControlLines {
		c.end() // the relay may open another one, after a pause
	}
}

// hear does what a line wants.
func (c *controlChannel) hear(line string) {
	switch {
	case wire.IsMove(line):
		c.headers.controls.move()
	case wire.IsLeft(line):
		c.noteLeft()
	}
}
