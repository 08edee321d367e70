package wire

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/seed96252745/relay/internal/policy"
)

// Keys of option lines (docs/protocol.md, "The preamble").
const (
	OptionToken          = "token"
	OptionLease          = "lease"
	OptionInstance       = "instance"
	OptionPort           = "port"
	OptionName           = "name"
	OptionProxy          = "proxy"
	OptionAllow          = "allow"
	OptionDeny           = "deny"
	OptionUsers          = "users"
	OptionUsersPerSecond = "users-per-second"
	OptionBytesPerSecond = "bytes-per-second"
	OptionSessions       = "sessions"
	OptionSession        = "session"
	OptionProbe          = "probe"
	OptionControl        = "control"
	OptionGroup          = "group"
	OptionBalance        = "balance"
)

// Preamble is what a relay client sends about itself and asks for, before the verb. A
// zero field was not sent.
type Preamble struct {
	Token    string // identifies the relay client: a secret
	Lease    string // identifies the port to resume: a secret
	Instance string // identifies the process, among those that know the same lease
	Port     int    // the public port to open
	Name     string // what people call the tunnel
	Proxy    bool   // a PROXY protocol v2 header before the bytes of each user
	Sessions int    // how many sessions to spread the users over
	Session  string // identifies the tunnel that this connection is another session of: a secret
	Probe    bool   // it answers probes, whose headers it knows by Proxy
	Control  Control
	Group    string // that shares the public port
	Balance  Balance

	// Policy applies to its users, within that of the relay. It allows one list of networks.
	Policy policy.Policy
}

const (
	// minLease is the length of a lease key that can have 128 bits, in the
	// densest of usual alphabets.
	minLease  = 22
	maxSecret = 512
	// maxUsers is a number that an int holds everywhere, and maxBytes is more bytes a
	// second than machines move.
	maxUsers = 1 << 30
	maxBytes = 1 << 40
	// maxSessions is more than machines have use for. A relay grants fewer.
	maxSessions = 256
	// maxPrefixes bounds how many networks the relay compares with each user.
	maxPrefixes = 64
)

// UnknownOptionError is the error of an option that this version does not know. Text is
// the first 64 bytes of the option, up to the first byte that no key has: in
// +token=<secret> the secret is a part of the key.
type UnknownOptionError struct{ Text string }

func (e *UnknownOptionError) Error() string { return "unknown option " + e.Text }

func newUnknownOption(key string) *UnknownOptionError {
	named := key[:min(len(key), maxVerb)]
	if i := strings.IndexFunc(named, notInWord); i >= 0 {
		return &UnknownOptionError{named[:i] + "...: a key has letters from a to z and hyphens, and a space and the value follow it"}
	}
	return &UnknownOptionError{named}
}

// OptionError is the error of an option with an invalid value. It does not repeat the
// value, which may be a secret.
type OptionError struct{ Key, Want string }

func (e *OptionError) Error() string { return fmt.Sprintf("option %q: %s", e.Key, e.Want) }

// ParsePreamble parses the option lines of a request. Its error is an
// *UnknownOptionError or an *OptionError.
func ParsePreamble(options []Option) (Preamble, error) {
	var p Preamble
	seen := make(map[string]bool, len(options))
	for _, o := range options {
		parse := parserOf(o.Key)
		switch {
		case parse == nil:
			return Preamble{}, newUnknownOption(o.Key)
		case seen[o.Key]:
			return Preamble{}, &OptionError{o.Key, "is given twice"}
		}
		seen[o.Key] = true
		if want := parse(&p, o.Value); want != "" {
			return Preamble{}, &OptionError{o.Key, want}
		}
	}
	for _, o := range []struct {
		key, needs    string
		given, hasAll bool
	}{
		{OptionProbe, OptionProxy, p.Probe, p.Proxy},
		{OptionControl, OptionProxy, p.Control != 0, p.Proxy},
		{OptionGroup, OptionLease, p.Group != "", p.Lease != ""},
		{OptionBalance, OptionGroup, p.Balance != "", p.Group != ""},
	} {
		if o.given && !o.hasAll {
			return Preamble{}, &OptionError{o.key, "it needs the option " + o.needs}
		}
	}
	return p, nil
}

// valueParser parses a value, and returns what it should have been if it is invalid.
type valueParser func(p *Preamble, value string) (want string)

// parserOf returns nil for an unknown key.
func parserOf(key string) valueParser {
	switch key {
	case OptionToken:
		return secret(func(p *Preamble) *string { return &p.Token }, 1, maxSecret)
	case OptionLease:
		return secret(func(p *Preamble) *string { return &p.Lease }, minLease, maxSecret)
	case OptionInstance:
		return secret(func(p *Preamble) *string { return &p.Instance }, 1, maxSecret)
	case OptionPort:
		return parsePortOption
	case OptionName:
		return name(func(p *Preamble) *string { return &p.Name })
	case OptionProxy:
		return parseProxy
	case OptionAllow:
		return networks(func(p *Preamble, list []netip.Prefix) { p.Policy.Allow = policy.AllowOnly(list) })
	case OptionDeny:
		return networks(func(p *Preamble, list []netip.Prefix) { p.Policy.Deny = list })
	case OptionUsers:
		return number(maxUsers, func(p *Preamble, n int64) { p.Policy.Users = int(n) })
	case OptionUsersPerSecond:
		return number(maxUsers, func(p *Preamble, n int64) { p.Policy.UsersPerSecond = int(n) })
	case OptionBytesPerSecond:
		return number(maxBytes, func(p *Preamble, n int64) { p.Policy.BytesPerSecond = n })
	case OptionSessions:
		return number(maxSessions, func(p *Preamble, n int64) { p.Sessions = int(n) })
	case OptionSession:
		return secret(func(p *Preamble) *string { return &p.Session }, 1, maxID)
	case OptionProbe:
		return parseProbe
	case OptionControl:
		return parseControl
	case OptionGroup:
		return name(func(p *Preamble) *string { return &p.Group })
	case OptionBalance:
		return parseBalance
	}
	return nil
}

func parsePortOption(p *Preamble, value string) string {
	port, err := parsePort(value)
	p.Port = port
	return wanted(err == nil, "a port from 1 to 65535")
}

func name(field func(*Preamble) *string) valueParser {
	return func(p *Preamble, value string) string {
		*field(p) = value
		if err := policy.CheckName(value); err != nil {
			return err.Error()
		}
		return ""
	}
}

func parseProxy(p *Preamble, value string) string {
	p.Proxy = true
	return wanted(value == "v2", "v2")
}

func parseProbe(p *Preamble, value string) string {
	p.Probe = true
	return wanted(value == "v1", "v1")
}

func wanted(ok bool, want string) string {
	if ok {
		return ""
	}
	return "want " + want
}

// secret parses a word.
func secret(field func(*Preamble) *string, minLen, maxLen int) valueParser {
	return func(p *Preamble, value string) string {
		*field(p) = value
		ok := len(value) >= minLen && len(value) <= maxLen && !strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c > '~' })
		return wanted(ok, fmt.Sprintf("%d to %d letters, digits and signs of ASCII without a space", minLen, maxLen))
	}
}

// number parses a positive number.
func number(limit int64, set func(*Preamble, int64)) valueParser {
	return func(p *Preamble, value string) string {
		n, err := policy.ParseNumber(value, limit)
		if err != nil {
			return wanted(false, fmt.Sprintf("a number from 1 to %d", limit))
		}
		set(p, n)
		return ""
	}
}

// networks reads a list. On the wire a network may have bits of a host, which mean nothing.
func networks(set func(*Preamble, []netip.Prefix)) valueParser {
	return func(p *Preamble, value string) string {
		var list []netip.Prefix
		for text := range strings.SplitSeq(value, ",") {
			network, err := policy.ParseNetwork(text)
			if err != nil || len(list) == maxPrefixes {
				return wanted(false, fmt.Sprintf("up to %d networks such as 192.0.2.0/24, with commas between them", maxPrefixes))
			}
			list = append(list, network.Masked())
		}
		set(p, list)
		return ""
	}
}

// Options returns p as option lines, in a fixed order.
func (p Preamble) Options() (options []Option) {
	add := func(key, value string, set bool) {
		if set {
			options = append(options, Option{key, value})
		}
	}
	add(OptionToken, p.Token, p.Token != "")
	add(OptionLease, p.Lease, p.Lease != "")
	add(OptionInstance, p.Instance, p.Instance != "")
	add(OptionPort, strconv.Itoa(p.Port), p.Port != 0)
	add(OptionName, p.Name, p.Name != "")
	add(OptionProxy, "v2", p.Proxy)
	add(OptionAllow, policy.FormatNetworks(slices.Concat(p.Policy.Allow...)), len(p.Policy.Allow) > 0)
	add(OptionDeny, policy.FormatNetworks(p.Policy.Deny), len(p.Policy.Deny) > 0)
	add(OptionUsers, strconv.Itoa(p.Policy.Users), p.Policy.Users != 0)
	add(OptionUsersPerSecond, strconv.Itoa(p.Policy.UsersPerSecond), p.Policy.UsersPerSecond != 0)
	add(OptionBytesPerSecond, strconv.FormatInt(p.Policy.BytesPerSecond, 10), p.Policy.BytesPerSecond != 0)
	add(OptionSessions, strconv.Itoa(p.Sessions), p.Sessions != 0)
	add(OptionSession, p.Session, p.Session != "")
	add(OptionProbe, "v1", p.Probe)
	add(OptionControl, p.Control.value(), p.Control != 0)
	add(OptionGroup, p.Group, p.Group != "")
	add(OptionBalance, string(p.Balance), p.Balance != "")
	return options
}
