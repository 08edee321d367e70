package endpoint

import (
	"errors"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/proxyproto"
	"github.com/seed96252745/relay/internal/wire"
)

const (
	// soonestControl is the pause before a control channel that was lost is opened again.
	// Each further one is twice as long, up to latestControl, until a channel has stood for
	// that long.
	soonestControl = time.Second
	latestControl  = 30 * time.Second
	// controlLost is for how long the connection of a channel may not come. It is probeLost
	// for the same reason: a relay client forgets a claim that it cannot make.
	controlLost = probeLost
	// maxControlLines is how many lines a relay client may send in controlPeriod. Its local
	// server cannot come and go as often: a health check takes a second at least.
	maxControlLines = 60
	controlPeriod   = time.Minute
)

// control is the control channel of one tunnel (docs/protocol.md, "Control"): a connection
// that stays open as long as the tunnel is bound, and is opened again when it is lost. A
// tunnel whose relay client has none has one that does nothing.
type control struct {
	tunnel *Tunnel

	mu     sync.Mutex   // guards what follows
	conn   *controlConn // or nil
	timer  *time.Timer  // of the next try, or of the one that is not connected yet; or nil
	pause  time.Duration
	moving bool // the relay client has been told to move, or is to be
	ended  bool
}

// controlConn is one connection of a control channel.
type controlConn struct {
	sideConn
	control *control
	reader  wire.ControlReader // only the reader uses it, and what follows
	lines   int                // since counted
	counted time.Time
}

var (
	errControlFlood = errors.New("the relay client sends too much on the control channel")
	errControlLate  = errors.New("the connection of the control channel does not come")
)

// startControl opens the control channel of the tunnel, which is bound.
func (t *Tunnel) startControl() {
	if t.Control {
		t.control.open()
	}
}

// endControl ends the channel. Its goroutines are counted like users.
func (t *Tunnel) endControl() {
	c := &t.control
	c.mu.Lock()
	c.ended = true
	conn := c.conn
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	if conn != nil {
		conn.end()
	}
}

// open opens the channel. It does not wait.
func (c *control) open() {
	defer func() {
		if p := crash.Caught(recover()); p != nil {
			c.tunnel.endpoint.group.Crashed(p)
		}
	}()
	if conn := c.begin(); conn != nil {
		conn.start()
	}
}

// begin returns a connection to start, or nil if there is to be none, or none yet.
func (c *control) begin() *controlConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return nil
	}
	admission := c.tunnel.endpoint.group.config.Admission
	if !admission.AcquireClientDescriptor() {
		c.retryLocked()
		return nil
	}
	if !c.tunnel.enter() {
		admission.ReleaseClientDescriptor()
		return nil // it has ended
	}
	conn := &controlConn{control: c, counted: time.Now()}
	header := proxyproto.ControlHeader()
	if c.moving {
		header = append(header, wire.MoveLine...)
	}
	conn.sideConn = sideConn{tunnel: c.tunnel, unsent: header, began: time.Now(), received: conn.receive, failed: conn.fail}
	c.conn = conn
	c.timer = time.AfterFunc(controlLost, func() {
		if conn.isUnconnected(0) {
			conn.fail(errControlLate)
		}
	})
	return conn
}

// retryLocked opens the channel after a pause.
func (c *control) retryLocked() {
	c.pause = min(max(2*c.pause, soonestControl), latestControl)
	c.timer = time.AfterFunc(c.pause, c.open)
}

// receive takes the next part of what the relay client sends.
func (c *controlConn) receive(b []byte) {
	if now := time.Now(); now.Sub(c.counted) >= controlPeriod {
		c.lines, c.counted = 0, now
	}
	err := c.reader.Feed(b, func(line string) {
		if c.lines++; c.lines > maxControlLines {
			return
		}
		c.hear(line)
	})
	switch {
	case err != nil:
		c.fail(err)
	case c.lines > maxControlLines:
		c.fail(errControlFlood)
	}
}

// hear does what a line wants.
func (c *controlConn) hear(line string) {
	if failure, known := wire.ParseServing(line); known {
		c.tunnel.setDown(failure != "")
		c.tunnel.health.report(c.tunnel.health.said(failure))
	}
	if wire.IsLeave(line) {
		c.tunnel.setLeaving()
		c.write([]byte(wire.LeftLine))
	}
}

// fail ends the connection, and has another one opened later. Only the first call counts.
// What the relay client has said last holds until it says something else.
func (c *controlConn) fail(error) {
	if !c.close(true) {
		return
	}
	defer c.left()
	ctl := c.control
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	ctl.conn = nil
	if ctl.timer != nil {
		ctl.timer.Stop()
	}
	if time.Since(c.began) >= latestControl {
		ctl.pause = 0
	}
	if !ctl.ended {
		ctl.retryLocked()
	}
}

// end ends the connection for good.
func (c *controlConn) end() {
	if c.close(true) {
		c.left()
	}
}

// left gives back what begin has taken.
func (c *controlConn) left() {
	c.tunnel.endpoint.group.config.Admission.ReleaseClientDescriptor()
	c.tunnel.users.Done()
}

// errDown is why a user is reset whose tunnel was down when it had waited for too long.
var errDown = observe.WithReason(errors.New("the relay client has said that its local server does not serve users"), observe.LocalServerIsDown)

// errLeaving is why a user does not wait for a tunnel that is about to end.
var errLeaving = errors.New("the relay client is about to end")

// Down returns why the tunnel is given no users, or nil if it is given some.
func (t *Tunnel) Down() error {
	t.endpoint.mu.Lock()
	defer t.endpoint.mu.Unlock()
	switch {
	case t.leaving:
		return errLeaving
	case t.down:
		return errDown
	}
	return nil
}

// tooLong returns why a user is reset who has waited for a tunnel in vain, for a cause.
func (e *Endpoint) tooLong(cause error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.members.areDown() && errors.Is(cause, protocol.ErrTooLong) {
		return errDown
	}
	return cause
}

// Move tells the relay client to register anew, as another process answers at the relay's
// address: now, or as soon as there is a channel. It reports false if the relay client has
// none, and cannot be told.
func (t *Tunnel) Move() bool {
	if !t.Control {
		return false
	}
	c := &t.control
	c.mu.Lock()
	c.moving = true
	conn := c.conn
	c.mu.Unlock()
	if conn != nil {
		conn.write([]byte(wire.MoveLine))
	}
	return true
}

// Move tells the relay clients of all leased tunnels to register anew. It returns how many
// can be told, and how many cannot: those that have no control channel, and those that
// would not get their port again, as they have no lease.
func (g *Group) Move() (told, untold int) {
	for _, e := range g.All() {
		for _, t := range e.Tunnels() {
			if e.Lease != nil && t.Move() {
				told++
			} else {
				untold++
			}
		}
	}
	return told, untold
}
