package main

import (
	"errors"
	"net/netip"
	"testing"
)

// The address is filled in only if it is public, and IPv4 comes first.
func TestPublicAddress(t *testing.T) {
	for _, test := range []struct{ v4, v6, want string }{
		{"8.8.4.4", "2a00:1450::1", "8.8.4.4"},
		{"192.168.1.7", "2a00:1450::1", "2a00:1450::1"},
		{"", "2a00:1450::1", "2a00:1450::1"}, // there is no IPv4
		{"10.0.0.2", "", ""},
		{"172.17.0.2", "fd00::2", ""}, // a container
		{"100.64.3.4", "fe80::1", ""}, // a provider's NAT
		{"192.0.0.4", "2001:db8::1", ""},
		{"127.0.0.1", "::1", ""},
		{"198.51.100.1", "2002:c000:204::1", ""},
		{"", "2001:0:1::1", ""},
		{"", "", ""},
	} {
		got := publicAddress(func(network, _ string) (netip.Addr, error) {
			text := test.v4
			if network == "udp6" {
				text = test.v6
			}
			if text == "" {
				return netip.Addr{}, errors.New("network is unreachable")
			}
			return netip.ParseAddr(text)
		})
		if got != test.want {
			t.Errorf("from %q and %q: %q, want %q", test.v4, test.v6, got, test.want)
		}
	}
}

// The system answers for a route that there is, without a packet.
func TestSystemRoute(t *testing.T) {
	if addr, err := systemRoute("udp4", "127.0.0.1:9"); err != nil || !addr.IsLoopback() {
		t.Errorf("%v, %v, want an address of loopback", addr, err)
	}
}
