package main

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/seed96252745/relay/internal/config"
)

// toRestart is what to do about a setting that cannot change while the process runs, and
// toUpgrade the same where the setting is one of a relay that a new process may have: see
// upgrade.go.
const (
	toRestart = "start it again for that, or leave the setting as it was"
	toUpgrade = "start it again for that, or have a new process take over, with relay upgrade, or leave the setting as it was"
)

// ofPlace are the fixed settings that a process which takes over has to have as they were.
var ofPlace = []string{"port", "bind", "stateDir"}

// toChange returns what to do about a fixed setting of a relay.
func toChange(name string) string {
	if runtime.GOOS != "linux" || slices.Contains(ofPlace, name) {
		return toRestart
	}
	return toUpgrade
}

// fixedSettings are those of a process, and of its relay, that cannot change while it runs:
// sockets that it has opened, and folders that it has locked. All others can.
var fixedSettings = []string{
	"port", "bind", "stateDir", "sshListen", "adminListen", "adminTokenFile", "logFormat",
	"acmeDomain", "acmeEmail", "acmeDirectory",
}

// reloadedSettings are those of a process, and of its relay, that a reload changes.
var reloadedSettings = []string{
	"drain", "logLevel", "metricsTunnels",
	"ports", "trustedProxies", "controlProxies", "tokens", "lease", "tokenLease", "upgradeDrain", "probe",
	"requireTls", "tlsClientCa", "sshClientCa", "tlsCert", "tlsKey",
	"maxUsers", "maxUsersPerSource", "maxUsersPerSecond", "maxTunnelsPerSource", "maxTunnelsPerNetwork",
	"maxHandshakes", "maxHandshakesPerSource", "userWait", "handshakeTimeout",
}

// comparison collects how a setup differs from the one in force.
type comparison struct {
	file    *config.File
	changed []string
	faults  []config.Fault
	// upgradable reports whether the process is a relay, and nothing else.
	upgradable bool
	sides      bool // there are services before and after
}

// compare returns the keys that have other values in next, and faults for those that cannot
// change while the process runs.
func compare(now, next *setup) (changed []string, faults []config.Fault) {
	c := &comparison{file: next.file, upgradable: now.relay != nil && len(now.services) == 0}
	c.flags("", now.process, next.process, now.process.ofBoth)
	c.relay(now.relay, next.relay)
	c.services(now.services, next.services)
	slices.Sort(c.changed)
	return slices.Compact(c.changed), c.faults
}

// flags compares the values of flags that now has in sets, for keys of a table.
func (c *comparison) flags(table string, now, next *flags, sets ...*pflag.FlagSet) {
	for _, fs := range sets {
		fs.VisitAll(func(flag *pflag.Flag) {
			to := lookup(flag.Name, next.all()...)
			if valueOf(flag) == valueOf(to) {
				return
			}
			key := cmp.Or(next.from[flag.Name].key, now.from[flag.Name].key, strings.TrimPrefix(table+"."+flag.Name, "."))
			c.note(key, flag.Name)
		})
	}
}

// note notes that a setting has changed.
func (c *comparison) note(key, name string) {
	c.changed = append(c.changed, key)
	if slices.Contains(fixedSettings, name) {
		right := toRestart
		if c.upgradable {
			right = toChange(name)
		}
		c.faultWith(key, "it cannot change while the process runs", right)
	}
}

func (c *comparison) fault(key, wrong string) { c.faultWith(key, wrong, toRestart) }

func (c *comparison) faultWith(key, wrong, right string) {
	fault := faultAt(c.file, key, wrong, right)
	if !slices.ContainsFunc(c.faults, func(f config.Fault) bool { return f.Key == key }) {
		c.faults = append(c.faults, fault)
	}
}

func (c *comparison) relay(now, next *relaySetup) {
	switch {
	case now == nil && next == nil:
	case now == nil:
		c.fault("server", "this process is no relay so far")
	case next == nil:
		c.fault("server", "the table is gone, and this process is a relay")
	default:
		c.flags("server", now.flags, next.flags, now.flags.ofRelay, now.flags.ofRelayLimits, now.flags.ofBoth)
		if now.port != next.port {
			c.note("server.port", "port")
		}
	}
}

// services compares the services.
func (c *comparison) services(now, next []serviceFlags) {
	c.sides = len(now) > 0 && len(next) > 0
	before := make(map[string]serviceFlags)
	for _, s := range now {
		before[s.name] = s
	}
	for _, s := range next {
		was, known := before[s.name]
		delete(before, s.name)
		if !known {
			c.service(s.name, "it is new, and this process has put nothing online so far")
		} else if was.settings("drain") != s.settings("drain") {
			c.service(s.name, "it has changed")
		}
	}
	for name := range before {
		c.service(name, "it is gone, and this process would put nothing online any more")
	}
}

// service notes that a service has changed. What is a fault if the process would become a
// forwarder by that, or would be none any more.
func (c *comparison) service(name, what string) {
	key := "services." + name
	c.changed = append(c.changed, key)
	if !c.sides {
		c.fault(key, what)
	}
}

// ofNoService are settings of the whole process that a service does not use.
var ofNoService = []string{"logLevel", "metricsTunnels", "config"}

// settings returns a text of all settings of a service, without some. Two services are alike if
// theirs are. It has the token, and is for nobody to see.
func (s serviceFlags) settings(without ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q %q", s.relay, s.local, s.flags.owner.secret)
	for _, fs := range []*pflag.FlagSet{s.flags.ofForwarder, s.flags.ofBoth} {
		fs.VisitAll(func(flag *pflag.Flag) {
			if !slices.Contains(ofNoService, flag.Name) && !slices.Contains(without, flag.Name) {
				fmt.Fprintf(&b, " %s=%q", flag.Name, valueOf(flag))
			}
		})
	}
	return b.String()
}
