package proxyproto_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"

	pires "github.com/pires/go-proxyproto"

	"github.com/seed96252745/relay/internal/proxyproto"
)

// Details come after the addresses, and readers that do not know them read the
// addresses.
func TestNotice(t *testing.T) {
	for name, addr := range map[string]*net.TCPAddr{
		"IPv4": {IP: net.IPv4(192, 0, 2, 7).To4(), Port: 1000}, "IPv6": {IP: net.ParseIP("2001:db8::7"), Port: 1000},
	} {
		for _, notice := range []string{"", "usersPerSecond 12 3", strings.Repeat("x", 256)} {
			turn := proxyproto.Sequence{Number: uint64(len(notice)) << 40, After: 7}
			header, err := proxyproto.HeaderWithDetails(addr, addr, proxyproto.Details{Notice: []byte(notice), Sequence: turn})
			if err != nil {
				t.Fatal(err)
			}
			r := bytes.NewReader(append(header, "rest"...))
			user, public, got, err := proxyproto.ReadDetails(r)
			if err != nil || user.String() != addr.String() || public.String() != addr.String() || string(got.Notice) != notice || got.Sequence != turn {
				t.Errorf("%s: got %v at %v, %v, %v; want %v, %q and %v", name, user, public, got, err, addr, notice, turn)
			}
			if rest, _ := io.ReadAll(r); string(rest) != "rest" {
				t.Errorf("%s: %q is left, want what follows", name, rest)
			}
			if user, _, err := proxyproto.Read(bytes.NewReader(header)); err != nil || user.String() != addr.String() {
				t.Errorf("%s: who wants no notice reads %v, %v", name, user, err)
			}
		}
	}
}

// Anything else after the addresses, whole or broken, is not a notice and does no harm.
func TestNoNotice(t *testing.T) {
	addr := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 1000}
	header := pires.HeaderProxyFromAddrs(2, addr, addr)
	if err := header.SetTLVs([]pires.TLV{{Type: pires.PP2_TYPE_AUTHORITY, Value: []byte("example.com")}}); err != nil {
		t.Fatal(err)
	}
	whole, err := header.Format()
	if err != nil {
		t.Fatal(err)
	}
	broken := bytes.Clone(whole)
	broken[16+12+2]++ // longer than the rest of the header
	for name, header := range map[string][]byte{"another": whole, "broken": broken} {
		user, _, details, err := proxyproto.ReadDetails(bytes.NewReader(header))
		if err != nil || user.String() != addr.String() || details.Notice != nil || details.Sequence != (proxyproto.Sequence{}) {
			t.Errorf("%s: got %v, %v, %v", name, user, details, err)
		}
	}
}
