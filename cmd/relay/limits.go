package main

import (
	"time"

	"github.com/spf13/pflag"

	"github.com/seed96252745/relay/internal/admission"
)

// limitFlags are the limits that an operator may want to change. The others are
// in package limit.
type limitFlags struct {
	users               int
	usersPerSource      int
	usersPerSecond      int
	userWait            time.Duration
	tunnelsPerSource    int
	tunnelsPerNetwork   int
	handshakes          int
	handshakesPerSource int
	handshakeTimeout    time.Duration
}

// define makes the flags, whose defaults are those of package limit.
func (l *limitFlags) define(fs *pflag.FlagSet) {
	is := admission.Limits{Descriptors: -1}.WithDefaults()
	fs.IntVar(&l.users, "maxUsers", 0, "users of a relay at a time; 0, the default, is what descriptors allow")
	fs.IntVar(&l.usersPerSource, "maxUsersPerSource", is.UsersPerSource, "users of one tunnel from one address at a time; 0 is no limit")
	fs.IntVar(&l.usersPerSecond, "maxUsersPerSecond", is.UsersPerSecond, "new users of one tunnel from one address, twice as many at once; those beyond wait for up to a second; 0 is no limit")
	fs.DurationVar(&l.userWait, "userWait", is.UserWait, "how long a user waits for the relay client")
	fs.IntVar(&l.tunnelsPerSource, "maxTunnelsPerSource", is.TunnelsPerSource, "tunnels of relay clients without a token from one address; 0 is no limit")
	fs.IntVar(&l.tunnelsPerNetwork, "maxTunnelsPerNetwork", is.TunnelsPerNetwork, "the same from one /24 of IPv4 or /48 of IPv6; 0 is no limit")
	fs.IntVar(&l.handshakes, "maxHandshakes", is.Handshakes, "connections that have not said yet what they want; 0 is no limit")
	fs.IntVar(&l.handshakesPerSource, "maxHandshakesPerSource", is.HandshakesPerSource, "the same from one address; 0 is no limit")
	fs.DurationVar(&l.handshakeTimeout, "handshakeTimeout", is.HandshakeTimeout, "how long a connection may take to say what it wants")
}

// check finds what cannot be meant.
func (l *limitFlags) check() error {
	for _, f := range []struct {
		name  string
		value int
	}{
		{"maxUsers", l.users},
		{"maxUsersPerSource", l.usersPerSource},
		{"maxUsersPerSecond", l.usersPerSecond},
		{"maxTunnelsPerSource", l.tunnelsPerSource},
		{"maxTunnelsPerNetwork", l.tunnelsPerNetwork},
		{"maxHandshakes", l.handshakes},
		{"maxHandshakesPerSource", l.handshakesPerSource},
	} {
		if f.value < 0 {
			none := "no limit"
			if f.name == "maxUsers" {
				none = "what descriptors allow" // there is always that limit
			}
			return usagef("for example:   --"+f.name+"=100, or 0 for "+none, "--%s=%d: there is no negative limit", f.name, f.value)
		}
	}
	for _, f := range []struct {
		name  string
		value time.Duration
	}{
		{"userWait", l.userWait},
		{"handshakeTimeout", l.handshakeTimeout},
	} {
		if f.value <= 0 {
			return usagef("for example:   --"+f.name+"=10s", "--%s=%v: that is no time at all", f.name, f.value)
		}
	}
	return nil
}

// limits gives what the flags say, in the way of package limit.
func (l *limitFlags) limits() admission.Limits {
	return admission.Limits{
		Users:               l.users,
		UsersPerSource:      orNone(l.usersPerSource),
		UsersPerSecond:      orNone(l.usersPerSecond),
		UserWait:            l.userWait,
		TunnelsPerSource:    orNone(l.tunnelsPerSource),
		TunnelsPerNetwork:   orNone(l.tunnelsPerNetwork),
		Handshakes:          orNone(l.handshakes),
		HandshakesPerSource: orNone(l.handshakesPerSource),
		HandshakeTimeout:    l.handshakeTimeout,
	}
}

// orNone says "no limit", which is 0 on the command line.
func orNone(n int) int {
	if n == 0 {
		return -1
	}
	return n
}
