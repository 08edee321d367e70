package policy

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// maxName bounds a name's bytes: it is in each log line about its owner.
const maxName = 64

// CheckName returns an error for what cannot be the name of a tunnel or an identity. The
// error does not repeat it: it may be a secret in a wrong place.
func CheckName(name string) error {
	if name == "" || len(name) > maxName || strings.ContainsFunc(name, isNoName) {
		return fmt.Errorf("names are 1 to %d of the characters A-Z, a-z, 0-9, '.', '_' and '-'", maxName)
	}
	return nil
}

func isNoName(r rune) bool {
	letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	return !letter && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
}

// ParseNumber reads a number from 1 to limit.
func ParseNumber(text string, limit int64) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || n == 0 || int64(n) > limit {
		return 0, fmt.Errorf("%+.40q is not a number from 1 to %d", text, limit)
	}
	return int64(n), nil
}

// ParseCount reads how many there may be of something.
func ParseCount(text string) (int, error) {
	n, err := ParseNumber(text, math.MaxInt32)
	return int(n), err
}

// FormatCount writes what ParseCount reads; 0 is an empty text.
func FormatCount(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

type unit struct {
	name  string
	bytes int64
}

// units has, for each size, the one first that FormatBytes writes.
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
	return 0, fmt.Errorf("%+.40q is not a number of bytes: write 10000000, or 10MB with kB, MB or GB, or 10MiB with KiB, MiB or GiB", text)
}

// FormatBytes writes what ParseBytes reads; 0 is an empty text.
func FormatBytes(n int64) string {
	if n == 0 {
		return ""
	}
	all := units()
	i := slices.IndexFunc(all, func(u unit) bool { return n%u.bytes == 0 })
	return strconv.FormatInt(n/all[i].bytes, 10) + all[i].name
}

// mappedBits come before the IPv4 address in an IPv4-mapped IPv6 address (RFC 4291,
// section 2.5.5.2).
const mappedBits = 96

// ParseNetwork reads a network, as 10.0.0.0/8 or 2001:db8::/32, or an address, which is
// a network of one. An IPv4-mapped network is one of IPv4. Bits of a host are left in it.
func ParseNetwork(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if addr, alone := netip.ParseAddr(text); alone == nil && addr.Zone() == "" {
		p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%+.60q is not a network: write 10.0.0.0/8 or 2001:db8::/32, or an address without /", text)
	}
	if p.Addr().Is4In6() && p.Bits() >= mappedBits {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits)
	}
	return p, nil
}

// ParseNetworks reads networks with commas between them, which have no bits of a host: a
// person who writes such has mistaken either the address or the length. They come out
// sorted, so that lists of the same networks are equal.
func ParseNetworks(text string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for part := range strings.SplitSeq(text, ",") {
		p, err := ParseNetwork(part)
		if err != nil {
			return nil, err
		}
		if p.Masked() != p {
			return nil, fmt.Errorf("%s is an address within a network: write %s for the network, or %s for the address", part, p.Masked(), p.Addr())
		}
		networks = append(networks, p)
	}
	slices.SortFunc(networks, netip.Prefix.Compare)
	return slices.Compact(networks), nil
}

// FormatNetworks writes what ParseNetworks reads.
func FormatNetworks(networks []netip.Prefix) string {
	texts := make([]string, len(networks))
	for i, p := range networks {
		texts[i] = p.String()
		if p.IsSingleIP() {
			texts[i] = p.Addr().String()
		}
	}
	return strings.Join(texts, ",")
}
