package yamux

import (
	"cmp"
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// Conn is what a session runs on.
type Conn interface {
	net.Conn
	CloseWrite() error
}

// Config sets up a session. The zero value is for the side that opens streams.
// Zero in a limit means the default that is named with it.
type Config struct {
	// Accept is set if the peer may open streams; otherwise they are reset.
	Accept bool
	// MaxStreams bounds the streams that are open at a time; further ones that
	// the peer opens are reset. The default is 4096.
	MaxStreams int
	// MaxUnacknowledged bounds the streams opened here that the peer has not
	// acknowledged, which it does with whatever it sends on them or on a later
	// one; Open waits for a place among them. The default is 256, the accept
	// backlog of those implementations that have one. Streams that were ended
	// here and are not acknowledged after a second count apart, up to four times
	// as many.
	MaxUnacknowledged int
	// MaxBuffered bounds the bytes that the session's streams hold for readers
	// who are late. Beyond it the stream that holds most is reset. The default
	// is 256 MiB, which a thousand streams fill with windows that have not grown.
	MaxBuffered int64
	// Budget does the same for all sessions that have it. Nil is no bound.
	Budget *Budget
	// ControlRate is how many frames a second may come that move nothing
	// forward, such as pings, and ControlBurst how many of them at once. The
	// session ends beyond it. A good peer sends one in seconds; the defaults,
	// 200 and 1000, are far from it, and are little work.
	ControlRate, ControlBurst int
	// MaxStrays bounds the streams a minute that the peer opens although Accept
	// is not set. The session ends beyond it. The default is 100: this never
	// happens by accident.
	MaxStrays int
	// PingAfter is after what silence of the peer it is pinged, which is also how long
	// nothing goes over the connection at most. The default is 15 seconds.
	PingAfter time.Duration
	// Counters count what happens at the limits. Nil is not counted.
	Counters *Counters
}

// orDefaults gives the configuration with its defaults.
func (c Config) orDefaults() Config {
	c.MaxStreams = cmp.Or(c.MaxStreams, 4096)
	c.MaxUnacknowledged = cmp.Or(c.MaxUnacknowledged, maxUnacknowledged)
	c.MaxBuffered = cmp.Or(c.MaxBuffered, 256<<20)
	c.ControlRate = cmp.Or(c.ControlRate, 200)
	c.ControlBurst = cmp.Or(c.ControlBurst, 1000)
	c.MaxStrays = cmp.Or(c.MaxStrays, 100)
	c.PingAfter = cmp.Or(c.PingAfter, pingAfter)
	if c.Counters == nil {
		c.Counters = new(Counters)
	}
	return c
}

// Counters count what happens at the limits of sessions, any number of which
// may share them. They only grow. The zero value is ready.
type Counters struct {
	// Flooded, Broken and Silent are sessions that were ended: because of a
	// flood of frames that move nothing forward, of strays, or of frames whose
	// answers the peer does not read; because of any other breach of the
	// protocol; and because the peer did not answer.
	Flooded, Broken, Silent atomic.Int64
	// Refused are streams that were not opened because of Config.MaxStreams.
	Refused atomic.Int64
	// Waited are calls of Open that had to wait for the peer to acknowledge
	// other streams.
	Waited atomic.Int64
	// ShedBySession and ShedByBudget are streams that were reset because of
	// Config.MaxBuffered and Config.Budget.
	ShedBySession, ShedByBudget atomic.Int64
	// Strays are streams that the peer opened although it may not.
	Strays atomic.Int64
}

// ended counts a session that has ended.
func (c *Counters) ended(err error) {
	switch {
	case errors.Is(err, errFlood), errors.Is(err, errNotReading):
		c.Flooded.Add(1)
	case errors.Is(err, ErrProtocol):
		c.Broken.Add(1)
	case errors.Is(err, ErrDead):
		c.Silent.Add(1)
	}
}
