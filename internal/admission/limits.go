package admission

import (
	"math"
	"time"

	"github.com/seed96252745/relay/internal/memory"
)

// Limits are all limits of a relay but those of the protocol itself: the lengths of lines
// are in package wire, which closes a connection at the first byte over.
//
// Zero is the default, with which each comment begins, and a negative value is no limit.
// Each limit that is met is counted: see [Kind].
type Limits struct {
	// Before a connection to the control port has sent its request.

	// HandshakeTimeout: 5 s. How long the request may take, all in all.
	HandshakeTimeout time.Duration
	// Handshakes: 256. Connections whose request has not come yet. From half of them
	// on, sources that have others there already are turned away at random, the
	// more often the more there are.
	Handshakes int
	// HandshakesPerSource: 64. The same for one source. A source whose tunnels
	// expect connections gets up to as many of those beside it.
	HandshakesPerSource int
	// WrongClaims: 20 a minute for a source, which is banned at one more: for a
	// second, and each time for twice as long, up to 10 minutes. In the first
	// minute of a relay it is 50 times as many. A wrong token that was not seen
	// before counts as a tenth of a wrong claim.
	WrongClaims int
	// RefusalDelay: 3.2 s. The refusal of a token that is wrong again is delayed by a
	// 32nd of this the first time, and by twice as much each time, up to this.
	RefusalDelay time.Duration

	// Relay clients and users.

	// TunnelsPerSource: 100 of relay clients without a token. Further registrations
	// are refused. This and the next do not hold for shared sources.
	TunnelsPerSource int
	// TunnelsPerNetwork: 1000. The same for a /24 of IPv4 or a /48 of IPv6, of which
	// one customer may have every address.
	TunnelsPerNetwork int
	// Users: as many as descriptors allow. Users of all tunnels at a time; further
	// ones are reset.
	Users int
	// UsersPerSource: 256. Users of one tunnel from one source, at a time;
	// further ones are reset. This and the next do not hold for shared sources: see
	// [Source.IsShared].
	UsersPerSource int
	// UsersPerSecond: 100 from one source to one tunnel, and twice as many at once
	// after a pause; further ones are delayed by up to a second, or else reset.
	UsersPerSecond int
	// UserWait: 10 s. How long a user waits for the relay client.
	UserWait time.Duration
	// Waiting: 128. Users of one tunnel that wait; further ones stay in the kernel's
	// queue until there is room.
	Waiting int

	// The protocols'.

	// Streams: 4096 of one multiplex tunnel, one for each user. Further users are
	// reset. All sessions of the tunnel have so many together. Of the streams of a
	// session 256 may be unacknowledged, and 1024 more that their users have ended;
	// further users wait.
	Streams int
	// Sessions: 16 of one multiplex tunnel. Its relay client gets as many if it asks for
	// more.
	Sessions int
	// SessionsInAll: an eighth of the descriptors, for those of all tunnels that are not
	// the first. One token, or source without, has a quarter of these at most. A tunnel
	// for which there are no more gets fewer sessions.
	SessionsInAll int
	// Pending: 256 ids of one tunnel that its relay client has not read yet.
	Pending int
	// Idle: 256 connections in one pool without a user. Further ones are closed.
	Idle int
	// IdleInAll: a quarter of the descriptors. The same for all pools together.
	IdleInAll int

	// The machine's.

	// Descriptors: what RLIMIT_NOFILE allows. A user takes two, and so does a tunnel;
	// the last 256, or a quarter if that is less, are not for users.
	Descriptors int
	// Buffered: in bytes, a quarter of the machine's memory, of what the control
	// groups of the process allow, or of GOMEMLIMIT, whichever is least. The relay
	// holds so much for users that do not read; beyond it the user that holds most is
	// reset.
	Buffered int64
	// LogLines: 10 a minute about one source. Further ones are counted.
	LogLines int
}

// WithDefaults returns the limits with every figure that is in force.
func (l Limits) WithDefaults() Limits {
	if l.Descriptors == 0 {
		l.Descriptors = processDescriptors()
	}
	idleInAll, sessionsInAll := -1, -1
	if l.Descriptors > 0 {
		idleInAll, sessionsInAll = max(l.Descriptors/4, 1), max(l.Descriptors/8, 1)
	}
	for _, f := range []struct {
		of *int
		is int
	}{
		{&l.Handshakes, 256},
		{&l.HandshakesPerSource, 64},
		{&l.WrongClaims, 20},
		{&l.TunnelsPerSource, 100},
		{&l.TunnelsPerNetwork, 1000},
		{&l.Users, -1},
		{&l.UsersPerSource, 256},
		{&l.UsersPerSecond, 100},
		{&l.Waiting, 128},
		{&l.Streams, 4096},
		{&l.Sessions, 16},
		{&l.SessionsInAll, sessionsInAll},
		{&l.Pending, 256},
		{&l.Idle, 256},
		{&l.IdleInAll, idleInAll},
		{&l.Descriptors, -1},
		{&l.LogLines, 10},
	} {
		*f.of = figure(*f.of, f.is, math.MaxInt)
	}
	l.HandshakeTimeout = figure(l.HandshakeTimeout, 5*time.Second, math.MaxInt64)
	l.RefusalDelay = figure(l.RefusalDelay, 3200*time.Millisecond, math.MaxInt64/2)
	l.UserWait = figure(l.UserWait, 10*time.Second, math.MaxInt64)
	l.Buffered = figure(l.Buffered, memory.Limit()/4, math.MaxInt64)
	return l
}

func figure[N ~int | ~int64](given, otherwise, unlimited N) N {
	if given == 0 {
		given = otherwise
	}
	if given < 0 {
		return unlimited
	}
	return given
}
