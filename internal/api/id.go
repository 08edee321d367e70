package api

import "strconv"

// The first letters of identifiers, by which one of a tunnel differs from one of a user.
const (
	tunnelLetter = "t"
	userLetter   = "u"
)

// TunnelID returns the identifier of a tunnel with that number, or "" for 0, which is none.
func TunnelID(n uint64) string { return id(tunnelLetter, n) }

// UserID is TunnelID for a user.
func UserID(n uint64) string { return id(userLetter, n) }

// ParseTunnelID returns the number of a tunnel's identifier, and reports whether it is one.
func ParseTunnelID(s string) (n uint64, ok bool) { return parseID(tunnelLetter, s) }

// ParseUserID is ParseTunnelID for a user's identifier.
func ParseUserID(s string) (n uint64, ok bool) { return parseID(userLetter, s) }

func id(letter string, n uint64) string {
	if n == 0 {
		return ""
	}
	return letter + strconv.FormatUint(n, 10)
}

func parseID(letter, s string) (n uint64, ok bool) {
	if len(s) < 2 || s[:1] != letter {
		return 0, false
	}
	n, err := strconv.ParseUint(s[1:], 10, 64)
	return n, err == nil && id(letter, n) == s // one identifier for each
}
