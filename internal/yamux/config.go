package yamux

import (
	"cmp"
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// Conn is the connection that a session runs on.
type Conn interface {
	net.Conn
	CloseWrite() error
}

// Config sets up a session. The zero value is for the side that opens streams. A limit
// of zero means the default that is named with it.
type Config struct {
	// Accept lets the peer open streams; otherwise they are reset.
	Accept bool
	// MaxStreams bounds the streams that are open at a time. Further ones from the peer
	// are reset. The default is 4096.
	MaxStreams int
	// MaxUnacknowledged bounds the streams opened here that the peer has not
	// acknowledged. Anything that it sends on a stream acknowledges this stream and all
	// that were opened before. Open waits for a slot. The default is 256, the accept
	// backlog of those implementations that have one. Streams that were ended here and
	// are not acknowledged after a second count separately, up to four times as many.
	MaxUnacknowledged int
	// MaxBuffered bounds the bytes that the session's streams hold until they are read.
	// Beyond it the stream that holds most is reset. The default is 256 MiB, which a
	// thousand streams fill with windows that have not grown.
	MaxBuffered int64
	// Budget does the same for all sessions that share it. Nil means no bound.
	Budget *Budget
	// ControlRate bounds the frames per second that make no progress, such as pings,
	// and ControlBurst how many of them may come at once. The session ends beyond it. A
	// good peer sends one every few seconds. The defaults, 200 and 1000, are far above
	// that, and are little work.
	ControlRate, ControlBurst int
	// MaxStrays bounds the streams per minute that the peer opens although Accept is
	// not set. The session ends beyond it. The default is 100: this never happens by
	// accident.
	MaxStrays int
	// PingAfter is how long the peer may be silent before it is pinged, and so the
	// longest time in which nothing goes over the connection. The default is 15
	// seconds.
	PingAfter time.Duration
	// GoneAway is the cause of Refusing once the peer has said that it accepts no more
	// streams. The default is ErrGoneAway.
	GoneAway error
	// Counters count what happens at the limits. Nil means not counted.
	Counters *Counters
}

// orDefaults returns the configuration with its defaults filled in.
func (c Config) orDefaults() Config {
	c.MaxStreams = cmp.Or(c.MaxStreams, 4096)
	c.MaxUnacknowledged = cmp.Or(c.MaxUnacknowledged, maxUnacknowledged)
	c.MaxBuffered = cmp.Or(c.MaxBuffered, 256<<20)
	c.ControlRate = cmp.Or(c.ControlRate, 200)
	c.ControlBurst = cmp.Or(c.ControlBurst, 1000)
	c.MaxStrays = cmp.Or(c.MaxStrays, 100)
	c.PingAfter = cmp.Or(c.PingAfter, pingAfter)
	c.GoneAway = cmp.Or(c.GoneAway, ErrGoneAway)
	if c.Counters == nil {
		c.Counters = new(Counters)
	}
	return c
}

// Counters count what happens at the limits of sessions. Any number of sessions may
// share them. They only grow. The zero value is ready.
type Counters struct {
	// Flooded, Broken and Silent count sessions that were ended: because of a flood of
	// frames without progress, of strays, or of frames whose answers the peer does not
	// read; because of any other violation of the protocol; and because the peer did
	// not answer.
	Flooded, Broken, Silent atomic.Int64
	// Refused counts streams that were not opened because of Config.MaxStreams.
	Refused atomic.Int64
	// Waited counts calls of Open that had to wait for the peer to acknowledge other
	// streams.
	Waited atomic.Int64
	// ShedBySession and ShedByBudget count streams that were reset because of
	// Config.MaxBuffered and Config.Budget.
	ShedBySession, ShedByBudget atomic.Int64
	// Strays counts streams that the peer opened although it may not.
	Strays atomic.Int64
}

// countEnd counts a session that has ended with err.
func (c *Counters) countEnd(err error) {
	switch {
	case errors.Is(err, errFlood), errors.Is(err, errNotReading):
		c.Flooded.Add(1)
	case errors.Is(err, ErrProtocol):
		c.Broken.Add(1)
	case errors.Is(err, ErrDead):
		c.Silent.Add(1)
	}
}
