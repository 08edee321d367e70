package proxyproto_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/proxyproto"
)

// metered is a connection that has all its bytes, and fails a test that asks for more
// than most bytes: the buffer for them has been allocated.
type metered struct {
	*bytes.Reader
	t    *testing.T
	most int
}

func (m metered) Read(b []byte) (int, error) {
	if taken := int(m.Size()) - m.Len(); taken+len(b) > m.most {
		m.t.Errorf("%d bytes were asked for behind %d, want %d in all at most", len(b), taken, m.most)
	}
	return m.Reader.Read(b)
}

// extent returns how many bytes of in belong to a header, as far as that is plain
// without parsing it. With lines it expects version 1.
func extent(in []byte, lines bool, most int) int {
	switch {
	case bytes.HasPrefix(in, []byte(signature)) && len(in) >= 16:
		if n := 16 + int(binary.BigEndian.Uint16(in[14:])); n <= most {
			return n
		}
		return 16
	case lines && bytes.HasPrefix(in, []byte("PROXY")):
		if i := bytes.IndexByte(in, '\n'); i >= 0 && i < 107 {
			return max(i+1, 15)
		}
		return 107
	}
	return 16
}

// fuzz reads any bytes. Read never goes beyond a header, and reads the same result from
// a header that is made of it.
func fuzz(f *testing.F, read reading, lines bool, most int) {
	for _, tt := range valid {
		f.Add([]byte(tt.header + payload))
		f.Add([]byte(tt.header[:len(tt.header)-1]))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		size := extent(in, lines, most)
		conn := metered{bytes.NewReader(in), t, size}
		user, public, err := read(conn)
		if (user == nil) != (public == nil) || err != nil && user != nil {
			t.Errorf("got %v, %v, %v", user, public, err)
		}
		if err != nil {
			return
		}
		if rest, _ := io.ReadAll(conn.Reader); !bytes.Equal(rest, in[size:]) {
			t.Errorf("%d bytes are left behind a header of %d, of %d", len(rest), size, len(in))
		}
		for version := 1; version <= 2; version++ {
			header, err := proxyproto.Header(version, user, public)
			if err != nil {
				t.Fatalf("version %d for %v, %v: %v", version, user, public, err)
			}
			expect(t, "ReadEither", proxyproto.ReadEither, string(header), text(user), text(public))
		}
	})
}

func FuzzRead(f *testing.F) { fuzz(f, proxyproto.Read, false, 536) }

func FuzzReadEither(f *testing.F) { fuzz(f, proxyproto.ReadEither, true, 16+4096) }

// FuzzHeader makes headers for any addresses, and reads them.
func FuzzHeader(f *testing.F) {
	for _, ip := range []string{"192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "::", "0.0.0.0"} {
		addr := netip.MustParseAddr(ip)
		f.Add(addr.AsSlice(), "", uint16(56068), addr.AsSlice(), uint16(443))
		f.Add(addr.AsSlice(), "eth0", uint16(0), []byte{198, 51, 100, 2}, uint16(65535))
	}
	f.Add([]byte(nil), "", uint16(1), []byte("short"), uint16(2))
	f.Fuzz(func(t *testing.T, userIP []byte, zone string, userPort uint16, publicIP []byte, publicPort uint16) {
		user := &net.TCPAddr{IP: slices.Clone(userIP), Port: int(userPort), Zone: zone}
		public := &net.TCPAddr{IP: slices.Clone(publicIP), Port: int(publicPort)}
		wantUser, wantPublic := plain(user), plain(public)
		if wantUser == "" || wantPublic == "" {
			wantUser, wantPublic = "", ""
		}
		for version := 1; version <= 2; version++ {
			header, err := proxyproto.Header(version, user, public)
			if err != nil || len(header) > 107 {
				t.Fatalf("version %d for %v, %v: %d bytes, %v", version, user, public, len(header), err)
			}
			expect(t, "ReadEither", proxyproto.ReadEither, string(header), wantUser, wantPublic)
			if strings.HasPrefix(string(header), signature) {
				expect(t, "Read", proxyproto.Read, string(header), wantUser, wantPublic)
			}
		}
		if !bytes.Equal(user.IP, userIP) || user.Zone != zone || !bytes.Equal(public.IP, publicIP) {
			t.Error("an address was changed")
		}
	})
}

// plain returns an address as text reads it back, empty if there is none.
func plain(addr *net.TCPAddr) string {
	ip, ok := netip.AddrFromSlice(addr.IP)
	if !ok {
		return ""
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(addr.Port)).String()
}
