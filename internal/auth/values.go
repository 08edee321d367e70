package auth

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ParseCount reads how many there may be of something: 1 or more.
func ParseCount(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%+.40q is not a number from 1 to %d", text, math.MaxInt32)
	}
	return int(n), nil
}

func formatCount(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

type unit struct {
	name  string
	bytes int64
}

// units has, for each size, the one first that formatBytes writes.
func units() []unit {
	return []unit{
		{"GB", 1e9}, {"G", 1e9}, {"GiB", 1 << 30},
		{"MB", 1e6}, {"M", 1e6}, {"MiB", 1 << 20},
		{"kB", 1e3}, {"k", 1e3}, {"KiB", 1 << 10},
		{"", 1},
	}
}

// ParseBytes reads a number of bytes, 1 or more: 10000000, 10MB or 10M, which are
// the same, or 10MiB, which is more.
func ParseBytes(text string) (int64, error) {
	digits := text
	if i := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		digits = text[:i]
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	for _, u := range units() {
		if err == nil && u.name == text[len(digits):] && n > 0 && n <= math.MaxInt64/u.bytes {
			return n * u.bytes, nil
		}
	}
	return 0, fmt.Errorf("%+.40q is no number of bytes: those are 10000000, or 10MB with kB, MB or GB, or 10MiB with KiB, MiB or GiB", text)
}

func formatBytes(n int64) string {
	if n == 0 {
		return ""
	}
	all := units()
	i := slices.IndexFunc(all, func(u unit) bool { return n%u.bytes == 0 })
	return strconv.FormatInt(n/all[i].bytes, 10) + all[i].name
}

// ParseNetworks reads networks with commas between them, such as
// 10.0.0.0/8,2001:db8::/32. An address alone is a network of one. They come out
// sorted, so that lists of the same networks are equal.
func ParseNetworks(text string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for part := range strings.SplitSeq(text, ",") {
		p, err := parseNetwork(part)
		if err != nil {
			return nil, err
		}
		networks = append(networks, p)
	}
	slices.SortFunc(networks, netip.Prefix.Compare)
	return slices.Compact(networks), nil
}

// mappedBits come before the IPv4 address in one that IPv6 writes.
const mappedBits = 96

func parseNetwork(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if addr, alone := netip.ParseAddr(text); alone == nil && addr.Zone() == "" {
		p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%+.60q is no network: those are written 10.0.0.0/8 or 2001:db8::/32, and addresses without /", text)
	}
	if p.Masked() != p {
		// Either the address or the length is not what was meant.
		return netip.Prefix{}, fmt.Errorf("%s has an address within the network: that is %s, and the address alone is %s", text, p.Masked(), p.Addr())
	}
	if p.Addr().Is4In6() && p.Bits() >= mappedBits {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits)
	}
	return p, nil
}

func formatNetworks(networks []netip.Prefix) string {
	texts := make([]string, len(networks))
	for i, p := range networks {
		texts[i] = p.String()
		if p.IsSingleIP() {
			texts[i] = p.Addr().String()
		}
	}
	return strings.Join(texts, ",")
}

var errNoTime = errors.New("times are written 2027-01-31, for the end of that day in UTC, or 2027-01-31T18:00:00Z, from 1970 to 9999")

// parseExpiry gives the moment from which on it is over.
func parseExpiry(text string) (time.Time, error) {
	at, err := time.Parse(time.DateOnly, text)
	if err == nil {
		at = at.AddDate(0, 0, 1)
	} else {
		at, err = time.Parse(time.RFC3339, text)
	}
	at = at.UTC()
	// The zero time, which is in the year 1, stands for never.
	first, last := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	if err != nil || at.Before(first) || at.After(last) {
		return time.Time{}, fmt.Errorf("%+.40q is not a time: %w", text, errNoTime)
	}
	return at, nil
}

func formatExpiry(at time.Time) string {
	hour, minute, second := at.Clock()
	switch {
	case at.IsZero():
		return ""
	case hour == 0 && minute == 0 && second == 0 && at.Nanosecond() == 0:
		return at.AddDate(0, 0, -1).Format(time.DateOnly)
	}
	return at.Format(time.RFC3339Nano)
}
