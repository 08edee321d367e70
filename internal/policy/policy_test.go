package policy_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/policy"
)

func networks(t testing.TB, text string) []netip.Prefix {
	t.Helper()
	if text == "" {
		return nil
	}
	var list []netip.Prefix
	for part := range strings.SplitSeq(text, ",") {
		prefix, err := netip.ParsePrefix(part)
		if addr, addrErr := netip.ParseAddr(part); addrErr == nil {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, prefix)
	}
	return list
}

// policyOf returns a policy; an empty text is no list.
func policyOf(t testing.TB, allow, deny string) (r policy.Policy) {
	t.Helper()
	if allow != "" {
		r.Allow = [][]netip.Prefix{networks(t, allow)}
	}
	r.Deny = networks(t, deny)
	return r
}

func TestAdmits(t *testing.T) {
	for _, tt := range []struct {
		allow, deny, addr string
		want              bool
	}{
		{"", "", "192.0.2.1", true},
		{"", "", "::1", true},
		{"10.0.0.0/8", "", "10.1.2.3", true},
		{"10.0.0.0/8", "", "11.1.2.3", false},
		{"10.0.0.0/8", "", "::ffff:10.1.2.3", true},
		{"10.0.0.0/8", "", "2001:db8::1", false},
		{"::/0", "", "10.1.2.3", false},
		{"10.0.0.0/8,2001:db8::/32", "", "2001:db8::1", true},
		{"192.0.2.1", "", "192.0.2.1", true},
		{"192.0.2.1", "", "192.0.2.2", false},
		{"", "192.0.2.0/24", "192.0.2.2", false},
		{"", "192.0.2.0/24", "::ffff:192.0.2.2", false},
		{"", "192.0.2.0/24", "192.0.3.2", true},
		{"10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", false},
		{"10.0.0.0/8", "10.1.0.0/16", "10.2.2.3", true},
		{"", "fe80::/10", "fe80::1%eth0", false},
		{"fe80::/10", "", "fe80::1%eth0", true},
	} {
		r := policyOf(t, tt.allow, tt.deny)
		if got := r.Admits(netip.MustParseAddr(tt.addr)); got != tt.want {
			t.Errorf("allow %q, deny %q, %s: got %v", tt.allow, tt.deny, tt.addr, got)
		}
	}
	if (policy.Policy{Allow: [][]netip.Prefix{{}}}).Admits(netip.MustParseAddr("::1")) {
		t.Error("an empty list admits somebody")
	}
	if policyOf(t, "0.0.0.0/0,::/0", "").Admits(netip.Addr{}) {
		t.Error("a user without an address is admitted where a list has every address")
	}
}

// No tunnel gets more than both policies allow, whatever it asks for.
func FuzzWithin(f *testing.F) {
	addresses := "10.0.0.0/8,10.1.0.0/16,192.0.2.1,2001:db8::/32"
	f.Add(uint8(1), uint8(2), uint8(0), uint8(1), 5, 3, int64(0), "10.1.2.3")
	f.Add(uint8(0), uint8(4), uint8(8), uint8(0), -1, 3, int64(-5), "2001:db8::1")
	f.Add(uint8(3), uint8(12), uint8(2), uint8(1), 0, 0, int64(7), "::ffff:10.0.0.1")
	all := networks(f, addresses)
	// some are the networks whose bits are set.
	some := func(bits uint8) (list []netip.Prefix) {
		for i, p := range all {
			if bits&(1<<i) != 0 {
				list = append(list, p)
			}
		}
		return list
	}
	of := func(allow, deny uint8, n int, bytes int64) policy.Policy {
		r := policy.Policy{Deny: some(deny), Users: n, UsersPerSecond: -n, BytesPerSecond: bytes}
		if list := some(allow); list != nil {
			r.Allow = [][]netip.Prefix{list}
		}
		return r
	}
	within := func(n, upper int64) bool { return upper <= 0 && n >= 0 || 0 < n && n <= upper }
	f.Fuzz(func(t *testing.T, allow, upperAllow, deny, upperDeny uint8, n, upperN int, bytes int64, text string) {
		wish, upper := of(allow, deny, n, bytes), of(upperAllow, upperDeny, upperN, bytes/3)
		got := wish.Within(upper)
		for _, bound := range []policy.Policy{wish, upper} {
			if !within(int64(got.Users), int64(bound.Users)) ||
				!within(int64(got.UsersPerSecond), int64(bound.UsersPerSecond)) ||
				!within(got.BytesPerSecond, bound.BytesPerSecond) {
				t.Errorf("%+v within %+v is %+v", wish, upper, got)
			}
		}
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return
		}
		if want := wish.Admits(addr) && upper.Admits(addr); got.Admits(addr) != want {
			t.Errorf("%+v within %+v admits %s: %v", wish, upper, addr, !want)
		}
	})
}
