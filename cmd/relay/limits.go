package main

import (
	"time"

	"github.com/spf13/pflag"

	"github.com/seed96252745/relay/internal/admission"
)

// limitFlags fill the limits that an operator may want to change.
type limitFlags struct{ admission.Limits }

// limitFlag is the flag of one limit.
type limitFlag[T any] struct {
	name  string
	value *T
	usage string
}

// counts are the flags where 0 is no limit, but for maxUsers.
func (l *limitFlags) counts() []limitFlag[int] {
	return []limitFlag[int]{
		{"maxUsers", &l.Users, "users of a relay at a time; 0, the default, is what descriptors allow"},
		{"maxUsersPerSource", &l.UsersPerSource, "users of one tunnel from one address at a time; 0 is no limit"},
		{"maxUsersPerSecond", &l.UsersPerSecond, "new users of one tunnel from one address, twice as many at once; those beyond wait for up to a second; 0 is no limit"},
		{"maxTunnelsPerSource", &l.TunnelsPerSource, "tunnels of relay clients without a token from one address; 0 is no limit"},
		{"maxTunnelsPerNetwork", &l.TunnelsPerNetwork, "the same from one /24 of IPv4 or /48 of IPv6; 0 is no limit"},
		{"maxHandshakes", &l.Handshakes, "connections that have not sent their request yet; 0 is no limit"},
		{"maxHandshakesPerSource", &l.HandshakesPerSource, "the same from one address; 0 is no limit"},
	}
}

func (l *limitFlags) durations() []limitFlag[time.Duration] {
	return []limitFlag[time.Duration]{
		{"userWait", &l.UserWait, "how long a user waits for the relay client"},
		{"handshakeTimeout", &l.HandshakeTimeout, "how long a connection may take to send its request"},
	}
}

// define defines the flags, with the defaults of package admission.
func (l *limitFlags) define(fs *pflag.FlagSet) {
	l.Limits = admission.Limits{Descriptors: -1}.WithDefaults()
	l.Users, l.Descriptors, l.IdleInAll, l.SessionsInAll = 0, 0, 0, 0 // these depend on the process
	for _, f := range l.counts() {
		fs.IntVar(f.value, f.name, *f.value, f.usage)
	}
	for _, f := range l.durations() {
		fs.DurationVar(f.value, f.name, *f.value, f.usage)
	}
}

// check returns what is wrong with values that have no meaning.
func (l *limitFlags) check() (wrong []error) {
	for _, f := range l.counts() {
		if *f.value < 0 {
			none := "no limit"
			if f.value == &l.Users {
				none = "what descriptors allow" // there is always that limit
			}
			wrong = append(wrong, usagef("for example:   --"+f.name+"=100, or 0 for "+none, "--%s=%d: there is no negative limit", f.name, *f.value))
		}
	}
	for _, f := range l.durations() {
		if *f.value <= 0 {
			wrong = append(wrong, usagef("for example:   --"+f.name+"=10s", "--%s=%v: that is no time at all", f.name, *f.value))
		}
	}
	return wrong
}

// limits returns the limits, in which no limit is a negative number.
func (l limitFlags) limits() admission.Limits {
	for _, f := range l.counts() {
		if *f.value == 0 {
			*f.value = -1
		}
	}
	return l.Limits
}
