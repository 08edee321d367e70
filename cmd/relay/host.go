package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"unicode"

	"github.com/seed96252745/relay/internal/port"
)

const (
	// maxHost and maxLabel are the limits of DNS.
	maxHost  = 254 // with a dot at the end
	maxLabel = 63
)

// isHost reports whether a host can have that name or address. Whether one has it is
// another question, whose answer changes.
func isHost(text string) bool {
	if addr, err := netip.ParseAddr(text); err == nil {
		return !strings.ContainsFunc(addr.Zone(), func(r rune) bool { return !unicode.IsPrint(r) })
	}
	if text == "" || len(text) > maxHost {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(text, "."), ".") {
		if label == "" || len(label) > maxLabel || strings.ContainsFunc(label, notInNames) {
			return false
		}
	}
	return true
}

// notInNames reports whether no name has r. It allows what DNS itself would refuse and
// other sources of names may have: underscores, and letters of all scripts.
func notInNames(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsMark(r) && !strings.ContainsRune("0123456789-_", r)
}

// notHost is the error of a text that cannot be a host.
type notHost struct {
	wrong      string
	host, port string // that may be meant, or ""
}

func (e *notHost) Error() string { return e.wrong }

// checkHost returns a *notHost if no host can be found under that name, now or later: a
// forwarder would try again for ever.
func checkHost(text string) error {
	if isHost(text) {
		return nil
	}
	e := &notHost{wrong: fmt.Sprintf("%+.80q is no host: that is a name or an IP address", text)}
	_, rest, isURL := strings.Cut(text, "://")
	if !isURL {
		rest = text
	}
	rest, _, _ = strings.Cut(rest, "/")
	host, number, err := net.SplitHostPort(rest)
	if err != nil {
		host, number = strings.Trim(rest, "[]"), ""
	}
	switch {
	case text == "":
		e.wrong = "it is empty"
	case isURL:
		e.wrong = fmt.Sprintf("%+.80q is a URL, and no host", text)
	case err == nil:
		e.wrong = fmt.Sprintf("%+.80q is no host: host and port stand apart", text)
	case strings.ContainsAny(text, "[]"):
		e.wrong = fmt.Sprintf("%+.80q is no host: an IPv6 address has no brackets here", text)
	}
	if isHost(host) {
		e.host = host
	}
	if _, err := port.Parse(number); err == nil {
		e.port = number
	}
	return e
}

// rightHost returns a line with the host that may be meant, and the port that was beside it
// or else port. If no host is known it returns the usual line.
func rightHost(err error, port, usual string, line func(host, port string) string) string {
	var e *notHost
	if !errors.As(err, &e) || e.host == "" {
		return usual
	}
	return line(e.host, cmp.Or(e.port, port))
}
