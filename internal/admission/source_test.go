package admission_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/seed96252745/relay/internal/admission"
)

func TestSourceOf(t *testing.T) {
	for _, same := range [][2]string{
		{"192.0.2.1", "::ffff:192.0.2.1"},
		{"2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"},
	} {
		if a, b := source(t, same[0]), source(t, same[1]); a != b {
			t.Errorf("%s and %s are two sources, %v and %v", same[0], same[1], a, b)
		}
	}
	for _, different := range [][2]string{
		{"192.0.2.1", "192.0.2.2"},
		{"2001:db8::1", "2001:db8:0:1::1"},
		{"127.0.0.1", "::1"},
	} {
		if a, b := source(t, different[0]), source(t, different[1]); a == b {
			t.Errorf("%s and %s are one source, %v", different[0], different[1], a)
		}
	}
	zoned := admission.SourceOf(&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0"})
	if zoned != source(t, "fe80::2") {
		t.Errorf("the zone makes a source of its own: %v", zoned)
	}
	if got := admission.SourceOf(&net.UnixAddr{}); got != (admission.Source{}) {
		t.Errorf("an address that is not IP: %v", got)
	}
	for ip, want := range map[string]bool{
		"127.0.0.1": true, "127.1.2.3": true, "::1": true, "::ffff:127.0.0.1": true,
		"192.0.2.1": false, "2001:db8::1": false, "::2:0:0:0:1": false,
	} {
		if got := source(t, ip).IsLoopback(); got != want {
			t.Errorf("IsLoopback of %s: %v", ip, got)
		}
	}
	for ip, want := range map[string]bool{ // of networks that are trusted
		"127.0.0.1": true, "10.1.2.3": true, "10.2.0.1": false, "fd00:1::9": true, "fd00:0:0:1::": false,
		"192.0.2.1": false, "2001:db8::1": false,
	} {
		trusted := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::1/128"), netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}
		if got := source(t, ip).MarkShared(trusted).IsShared(); got != want {
			t.Errorf("IsShared of %s: %v", ip, got)
		}
	}
	if (admission.Source{}).MarkShared([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}).IsShared() {
		t.Error("the source without an address is shared")
	}
	for _, same := range [][2]string{{"192.0.2.1", "192.0.2.200"}, {"2001:db8:1:2::3", "2001:db8:1:fff::4"}} {
		if a, b := source(t, same[0]).Network(), source(t, same[1]).Network(); a != b {
			t.Errorf("%s and %s are in different networks, %v and %v", same[0], same[1], a, b)
		}
	}
	for _, different := range [][2]string{{"192.0.2.1", "192.0.3.1"}, {"2001:db8:1::", "2001:db8:2::"}} {
		if a, b := source(t, different[0]).Network(), source(t, different[1]).Network(); a == b {
			t.Errorf("%s and %s are in one network, %v", different[0], different[1], a)
		}
	}
	for ip, want := range map[string]string{"192.0.2.1": "192.0.2.1", "2001:db8::1": "2001:db8::/64"} {
		if got := source(t, ip).String(); got != want {
			t.Errorf("%s is written %s, want %s", ip, got, want)
		}
	}
}
