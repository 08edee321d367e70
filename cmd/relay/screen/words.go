package screen

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/seed96252745/relay/internal/api"
)

// State returns the words for the state of a tunnel, and its style.
func State(s api.State) Cell {
	text := strings.ReplaceAll(Clean(string(s)), "_", " ")
	switch s {
	case api.Up:
		return Cell{text, Green}
	case api.LocalServerDown, api.Silent, api.Unreachable:
		return Cell{text, Red}
	case api.Away, api.Paused, api.Connecting:
		return Cell{text, Yellow}
	}
	return Cell{text, Plain}
}

// Since returns how long ago a moment was, or a dash if it is not known.
func Since(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return Duration(now.Sub(t))
}

// TunnelPort returns the public port of a tunnel, or a dash before it has one.
func TunnelPort(t api.Tunnel) string {
	if t.Port == 0 {
		return "-"
	}
	return strconv.Itoa(t.Port)
}

// Name returns who a tunnel is: the service that it is, or else its name, or that of its
// identity, or both.
func Name(t api.Tunnel) string { return name(cmp.Or(t.Service, t.Name), t.Identity) }

// Behind returns what is behind a tunnel: the address of a local server or of a relay client,
// or how many there are in a group.
func Behind(t api.Tunnel) string {
	if n := len(t.Members); n > 1 {
		return strconv.Itoa(n) + " members"
	}
	return Clean(cmp.Or(t.Local, t.RelayClient, "-"))
}

func name(tunnel, identity string) string {
	if tunnel != "" && identity != "" && tunnel != identity {
		return Clean(tunnel + " of " + identity)
	}
	return Clean(cmp.Or(tunnel, identity, "-"))
}

// End returns who ended a connection, and how, by the identifiers of the log.
func End(e api.Ended) Cell {
	if !e.Joined {
		text := "reset: " + cmp.Or(e.Limit, e.Reason, "unknown")
		return Cell{Clean(text), Yellow}
	}
	switch e.How {
	case "fin", "drain":
		return Cell{Text: Clean(e.EndedBy + " " + e.How)}
	case "reset":
		return Cell{Clean(e.EndedBy + " " + e.How), Yellow}
	case "lost", "half_close_timeout", "panic":
		return Cell{Clean(e.EndedBy + " " + e.How), Red}
	}
	// The others are reasons, such as token_revoked, for which only the process itself ends
	// anybody.
	return Cell{Clean(e.How), Yellow}
}

// EndName returns whose tunnel a connection was to.
func EndName(e api.Ended) string { return name(cmp.Or(e.Service, e.Name), e.Identity) }
