package admission_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/admission"
)

func peerAt(text string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(text)) }

// sources returns the networks that are banned.
func sources(b *admission.Bans) (all []string) {
	for _, ban := range b.All() {
		all = append(all, ban.Source.String())
	}
	return all
}

func TestBans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b admission.Bans
		if b.Has(peerAt("192.0.2.1:1")) || len(b.All()) != 0 {
			t.Error("somebody is banned from the beginning")
		}
		for source, d := range map[string]time.Duration{
			"192.0.2.1/32": time.Minute, "198.51.100.7/24": 2 * time.Minute, "2001:db8::1/128": time.Minute, "2001:db8:1::/48": 3 * time.Minute,
			"::ffff:203.0.113.9/128": time.Minute,
		} {
			if err := b.Add(netip.MustParsePrefix(source), d); err != nil {
				t.Error(err)
			}
		}
		want := func(banned bool, peers ...string) {
			t.Helper()
			for _, p := range peers {
				if b.Has(peerAt(p)) != banned {
					t.Errorf("%s: banned %t, want %t", p, !banned, banned)
				}
			}
		}
		want(true, "192.0.2.1:1", "[::ffff:192.0.2.1]:1", "198.51.100.200:1", "[2001:db8::1]:1", "[2001:db8:1:ffff::1]:1", "203.0.113.9:1")
		want(false, "192.0.2.2:1", "198.51.101.1:1", "[2001:db8::2]:1", "[2001:db8:2::]:1", "203.0.113.8:1")
		if b.Has(nil) {
			t.Error("a peer without an address is banned")
		}
		if got := b.Until(peerAt("192.0.2.1:1")); !got.Equal(time.Now().Add(time.Minute)) {
			t.Errorf("a ban is until %v", got)
		}
		if got, want := sources(&b), []string{"192.0.2.1/32", "198.51.100.0/24", "203.0.113.9/32", "2001:db8::1/128", "2001:db8:1::/48"}; !slices.Equal(got, want) {
			t.Errorf("banned are %q, want %q", got, want)
		}
		if !b.Remove(netip.MustParsePrefix("198.51.100.99/24")) || b.Remove(netip.MustParsePrefix("198.51.100.0/24")) {
			t.Error("a ban is not removed once")
		}
		want(false, "198.51.100.200:1")
		pass(time.Minute)
		want(false, "192.0.2.1:1", "[2001:db8::1]:1")
		want(true, "[2001:db8:1::1]:1")
		if got, want := sources(&b), []string{"2001:db8:1::/48"}; !slices.Equal(got, want) {
			t.Errorf("after a minute %q are banned, want %q", got, want)
		}
		if err := b.Add(netip.MustParsePrefix("2001:db8:1::/48"), time.Second); err != nil {
			t.Error(err) // a new time, in place of the one that there is
		}
		pass(time.Second)
		want(false, "[2001:db8:1::1]:1")
	})
}

func TestBansAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b admission.Bans
		for i := range admission.MaxBans {
			if err := b.Add(netip.MustParsePrefix(fmt.Sprintf("10.0.%d.%d/32", i/256, i%256)), time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		one := netip.MustParsePrefix("192.0.2.1/32")
		if err := b.Add(one, time.Minute); !errors.Is(err, admission.ErrTooManyBans) {
			t.Errorf("got %v", err)
		}
		if err := b.Add(netip.MustParsePrefix("10.0.0.0/32"), time.Hour); err != nil {
			t.Errorf("a source that is banned cannot be banned for longer: %v", err)
		}
		pass(time.Minute)
		if err := b.Add(one, time.Minute); err != nil {
			t.Errorf("bans that are over are in the way: %v", err)
		}
		if got := len(b.All()); got != 2 {
			t.Errorf("there are %d bans, want 2", got)
		}
	})
}

func TestNoBan(t *testing.T) {
	var b admission.Bans
	for _, err := range []error{
		b.Add(netip.Prefix{}, time.Minute), b.Add(netip.MustParsePrefix("192.0.2.1/32"), 0), b.Add(netip.MustParsePrefix("192.0.2.1/32"), -1),
	} {
		if !errors.Is(err, admission.ErrNoBan) {
			t.Errorf("got %v", err)
		}
	}
	if b.Remove(netip.Prefix{}) || len(b.All()) != 0 {
		t.Error("there is a ban")
	}
}
