package main

import (
	"strings"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/config"
)

const (
	// defaultProbe is how often a relay probes: with the 4 s of an answer it knows within
	// 20 s that a tunnel is dead.
	defaultProbe = 15 * time.Second
	// minProbe bounds what local servers have to bear. It is longer than an answer may
	// take.
	minProbe = 5 * time.Second
	maxProbe = time.Hour
)

// probeInterval returns the relay's --probe, or 0 for none.
func (f *flags) probeInterval() (time.Duration, error) {
	if f.probe == "" {
		return defaultProbe, nil
	}
	every, err := time.ParseDuration(f.probe)
	if err != nil {
		return 0, usagef("for example:   --probe=15s, or 0 to probe nobody", "--probe: %+.40q is not a duration; a relay has how often it probes, and only a forwarder has a word", f.probe)
	}
	if every != 0 && (every < minProbe || every > maxProbe) {
		return 0, usagef("for example:   --probe=15s, or 0 to probe nobody", "--probe=%v: a relay probes every %v at most, and every %v at least", every, minProbe, maxProbe)
	}
	return every, nil
}

// probeAnswer returns the forwarder's --probe.
func (f *flags) probeAnswer() (relay.Probe, error) {
	switch p := relay.Probe(strings.ToLower(f.probe)); p {
	case "", relay.ProbeLocal, relay.ProbeSession, relay.ProbeOff:
		return p, nil
	}
	return "", usagef("one of:   --probe=local, --probe=session, --probe=off", "--probe: %+.40q is none of a forwarder's words; how often it is asked is the relay's choice", f.probe)
}

// health returns the forwarder's --healthCheck, or nil for none.
func (f *flags) health() (*relay.HealthCheck, error) {
	if f.healthCheck == "" {
		return nil, nil
	}
	const right = "one of:   --healthCheck=tcp, --healthCheck=http:/healthz"
	given, err := config.ParseHealthCheck(f.healthCheck)
	if err != nil {
		return nil, usagef(right, "--healthCheck: %v", err)
	}
	check := &relay.HealthCheck{Path: given.HTTP}
	if given.Status != nil {
		check.Status = *given.Status
	}
	if given.Interval != nil {
		check.Interval = *given.Interval
	}
	if err := check.Validate(); err != nil {
		return nil, usagef(right, "--healthCheck: %v", strings.TrimPrefix(err.Error(), "relay: "))
	}
	return check, nil
}
