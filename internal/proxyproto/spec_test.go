package proxyproto_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/proxyproto"
)

// signature begins each header of version 2.
const signature = "\r\n\r\n\x00\r\nQUIT\n"

const (
	max4  = "255.255.255.255"
	max6  = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
	all4  = "\xff\xff\xff\xff"
	all6  = all4 + all4 + all4 + all4
	four  = "\xc0\x00\x02\x01\xc6\x33\x64\x02\xdb\x04\x01\xbb"             // 192.0.2.1:56068, 198.51.100.2:443
	docs6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" // 2001:db8::, but for its last byte
	six   = docs6 + "\x01" + docs6 + "\x02" + "\xdb\x04\x01\xbb"
	map6  = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff"
)

// valid are headers that follow the specification.
var valid = []struct {
	name, header string
	user, public string // empty if there is none
}{
	{"v1 example", "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", "192.168.0.1:56324", "192.168.0.11:443"},
	{"v1 longest IPv4", "PROXY TCP4 " + max4 + " " + max4 + " 65535 65535\r\n", max4 + ":65535", max4 + ":65535"},
	{"v1 longest IPv6", "PROXY TCP6 " + max6 + " " + max6 + " 65535 65535\r\n", "[" + max6 + "]:65535", "[" + max6 + "]:65535"},
	{"v1 mapped", "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n", "192.0.2.1:1", "[2001:db8::2]:2"},
	// nginx names the user's family, and then the address of its listener.
	{"v1 of an IPv6 user at an IPv4 listener", "PROXY TCP6 2001:db8::7 192.0.2.1 51512 22\r\n", "[2001:db8::7]:51512", "192.0.2.1:22"},
	{"v1 of an IPv4 user at an IPv6 listener", "PROXY TCP4 192.0.2.7 2001:db8::1 51512 22\r\n", "192.0.2.7:51512", "[2001:db8::1]:22"},
	{"v1 of two families, longest", "PROXY TCP6 " + max6 + " " + max4 + " 65535 65535\r\n", "[" + max6 + "]:65535", max4 + ":65535"},
	{"v1 unknown, short", "PROXY UNKNOWN\r\n", "", ""},
	{"v1 unknown, longest", "PROXY UNKNOWN " + max6 + " " + max6 + " 65535 65535\r\n", "", ""},
	{"v2 local", signature + "\x20\x00\x00\x00", "", ""},
	{"v2 local with addresses", signature + "\x20\x11\x00\x0c" + four, "", ""},
	{"v2 local with something", signature + "\x20\x00\x00\x03abc", "", ""},
	{"v2 IPv4", signature + "\x21\x11\x00\x0c" + four, "192.0.2.1:56068", "198.51.100.2:443"},
	{"v2 IPv4, highest", signature + "\x21\x11\x00\x0c" + all4 + all4 + all4, max4 + ":65535", max4 + ":65535"},
	{"v2 IPv6", signature + "\x21\x21\x00\x24" + six, "[2001:db8::1]:56068", "[2001:db8::2]:443"},
	{"v2 IPv6, highest", signature + "\x21\x21\x00\x24" + all6 + all6 + all4, "[" + max6 + "]:65535", "[" + max6 + "]:65535"},
	{"v2 mapped", signature + "\x21\x21\x00\x24" + map6 + four[:4] + docs6 + "\x02" + four[8:], "192.0.2.1:56068", "[2001:db8::2]:443"},
	{"v2 with a TLV", signature + "\x21\x11\x00\x10" + four + "\x04\x00\x01x", "192.0.2.1:56068", "198.51.100.2:443"},
	{"v2 datagrams", signature + "\x21\x12\x00\x0c" + four, "", ""},
	{"v2 unix", signature + "\x21\x31\x00\xd8" + strings.Repeat("/", 216), "", ""},
	{"v2 as long as a relay's may be", signature + "\x21\x11\x02\x08" + four + strings.Repeat("\x04\x00\x00", 508/3) + "x", "192.0.2.1:56068", "198.51.100.2:443"},
}

const payload = "\r\n\r\nPROXY payload"

func TestSpecification(t *testing.T) {
	for _, tt := range valid {
		t.Run(tt.name, func(t *testing.T) {
			expect(t, "ReadEither", proxyproto.ReadEither, tt.header, tt.user, tt.public)
			if strings.HasPrefix(tt.header, signature) {
				expect(t, "Read", proxyproto.Read, tt.header, tt.user, tt.public)
			} else if _, _, err := proxyproto.Read(strings.NewReader(tt.header + payload)); err == nil {
				t.Error("Read took version 1")
			}
		})
	}
}

type reading = func(io.Reader) (user, public net.Addr, err error)

// expect reads a header with payload after it.
func expect(t *testing.T, name string, read reading, header, wantUser, wantPublic string) {
	t.Helper()
	in := strings.NewReader(header + payload)
	user, public, err := read(in)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if got := text(user); got != wantUser {
		t.Errorf("%s: the user is %q, want %q", name, got, wantUser)
	}
	if got := text(public); got != wantPublic {
		t.Errorf("%s: the public address is %q, want %q", name, got, wantPublic)
	}
	if rest, _ := io.ReadAll(in); string(rest) != payload {
		t.Errorf("%s left %q, want %q", name, rest, payload)
	}
}

// text returns an address as a connection has it: IPv4 is four bytes.
func text(addr net.Addr) string {
	if addr == nil {
		return ""
	}
	return addr.(*net.TCPAddr).AddrPort().String()
}

// Anything but a header is refused as soon as that is plain, or too long.
func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		most     int // bytes that may be read
	}{
		{"nothing", "", 0},
		{"HTTP", "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", 16},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("x", 500), 16},
		{"v1 without an end", "PROXY " + strings.Repeat("x", 500), 107},
		{"v1 with LF", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", 107},
		{"v1 not a header's name", "PROXYTCP4 192.0.2.1 192.0.2.2 1 2\r\n", 107},
		{"v1 IPv4 as IPv6", "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", 107},
		{"v1 IPv4 as IPv6, to IPv6", "PROXY TCP6 192.0.2.1 2001:db8::2 1 2\r\n", 107},
		{"v1 IPv6 as IPv4", "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", 107},
		{"v1 IPv6 as IPv4, to IPv4", "PROXY TCP4 2001:db8::1 192.0.2.2 1 2\r\n", 107},
		{"v1 of two families, with a zone", "PROXY TCP6 fe80::1%lo 192.0.2.2 1 2\r\n", 107},
		{"v1 of two families, with a leading zero", "PROXY TCP6 2001:db8::1 192.0.2.02 1 2\r\n", 107},
		{"v1 of two families, with too much", "PROXY TCP6 2001:db8::1 192.0.2.2 1 2 3\r\n", 107},
		{"v1 of two families, with too little", "PROXY TCP6 2001:db8::1 192.0.2.2 1\r\n", 107},
		{"v1 of two families, with LF", "PROXY TCP6 2001:db8::1 192.0.2.2 1 2\n", 107},
		{"v1 with a port too high", "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n", 107},
		{"v1 with a leading zero", "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", 107},
		{"v1 with a zone", "PROXY TCP6 fe80::1%lo fe80::2 1 2\r\n", 107},
		{"v1 cut off", "PROXY TCP4 192.0.2.1 ", 107},
		{"v2 half a signature", signature[:9], 16},
		{"v2 wrong signature", signature[:11] + "\x0b\x21\x11\x00\x0c" + four, 16},
		{"v2 another version", signature + "\x31\x11\x00\x0c" + four, 28},
		{"v2 another command", signature + "\x22\x11\x00\x0c" + four, 28},
		{"v2 another family", signature + "\x21\x41\x00\x0c" + four, 28},
		{"v2 another transport", signature + "\x21\x13\x00\x0c" + four, 28},
		{"v2 no family", signature + "\x21\x00\x00\x00", 16},
		{"v2 shorter than its family", signature + "\x21\x21\x00\x0c" + four, 28},
		{"v2 cut off", signature + "\x21\x21\x00\x24" + six[:20], 52},
		{"v2 longest length", signature + "\x21\x11\xff\xff" + strings.Repeat("x", 70000), 16},
		{"v2 longer than a proxy's may be", signature + "\x21\x11\x10\x01" + strings.Repeat("x", 70000), 16},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, read := range map[string]reading{"Read": proxyproto.Read, "ReadEither": proxyproto.ReadEither} {
				in := strings.NewReader(tt.in)
				user, public, err := read(in)
				if err == nil || user != nil || public != nil {
					t.Errorf("%s returns %v, %v, %v", name, user, public, err)
				}
				if n := len(tt.in) - in.Len(); n > tt.most {
					t.Errorf("%s read %d bytes, want %d at most", name, n, tt.most)
				}
			}
		})
	}
}

// A relay's header is short; a load balancer may send a certificate with it.
func TestLongHeaders(t *testing.T) {
	for _, tt := range []struct {
		length               int
		fromRelay, fromProxy bool
	}{{520, true, true}, {521, false, true}, {4096, false, true}, {4097, false, false}} {
		header := signature + "\x21\x11" + string([]byte{byte(tt.length >> 8), byte(tt.length)}) + four
		header += strings.Repeat("x", 16+tt.length-len(header))
		for name, read := range map[string]reading{"Read": proxyproto.Read, "ReadEither": proxyproto.ReadEither} {
			want := tt.fromRelay
			if name == "ReadEither" {
				want = tt.fromProxy
			}
			if _, _, err := read(strings.NewReader(header)); (err == nil) != want {
				t.Errorf("%s of a length of %d returns %v", name, tt.length, err)
			}
		}
	}
}

// Each of these is one of the valid ones, or close to it.
func TestHeader(t *testing.T) {
	tcp := func(s string) *net.TCPAddr {
		addr, err := net.ResolveTCPAddr("tcp", s)
		if err != nil {
			t.Fatal(err)
		}
		return addr
	}
	for _, tt := range []struct {
		name         string
		user, public net.Addr
		v1, v2       string
	}{
		{"IPv4", tcp("192.0.2.1:56068"), tcp("198.51.100.2:443"),
			"TCP4 192.0.2.1 198.51.100.2 56068 443", "\x21\x11\x00\x0c" + four},
		{"IPv6", tcp("[2001:db8::1]:56068"), tcp("[2001:db8::2]:443"),
			"TCP6 2001:db8::1 2001:db8::2 56068 443", "\x21\x21\x00\x24" + six},
		{"mapped", tcp("[::ffff:192.0.2.1]:56068"), tcp("198.51.100.2:443"),
			"TCP4 192.0.2.1 198.51.100.2 56068 443", "\x21\x11\x00\x0c" + four},
		{"IPv4 to IPv6", tcp("192.0.2.1:56068"), tcp("[2001:db8::2]:443"),
			"TCP6 ::ffff:192.0.2.1 2001:db8::2 56068 443", "\x21\x21\x00\x24" + map6 + four[:4] + docs6 + "\x02" + four[8:]},
		{"IPv6 to IPv4", tcp("[2001:db8::1]:56068"), tcp("198.51.100.2:443"),
			"TCP6 2001:db8::1 ::ffff:198.51.100.2 56068 443", "\x21\x21\x00\x24" + docs6 + "\x01" + map6 + four[4:8] + four[8:]},
		{"zones", &net.TCPAddr{IP: tcp("[2001:db8::1]:1").IP, Port: 56068, Zone: "eth0"}, tcp("[2001:db8::2]:443"),
			"TCP6 2001:db8::1 2001:db8::2 56068 443", "\x21\x21\x00\x24" + six},
		{"no addresses", nil, nil, "UNKNOWN", "\x20\x00\x00\x00"},
		{"no public address", tcp("192.0.2.1:56068"), nil, "UNKNOWN", "\x20\x00\x00\x00"},
		{"no user", (*net.TCPAddr)(nil), tcp("192.0.2.1:56068"), "UNKNOWN", "\x20\x00\x00\x00"},
		{"no IP", &net.TCPAddr{Port: 1}, tcp("192.0.2.1:56068"), "UNKNOWN", "\x20\x00\x00\x00"},
		{"no TCP", &net.UnixAddr{Name: "/x", Net: "unix"}, &net.UnixAddr{Name: "/y", Net: "unix"}, "UNKNOWN", "\x20\x00\x00\x00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for version, want := range map[int]string{1: "PROXY " + tt.v1 + "\r\n", 2: signature + tt.v2} {
				if got, err := proxyproto.Header(version, tt.user, tt.public); err != nil || string(got) != want {
					t.Errorf("version %d is\n%q, %v, want\n%q", version, got, err, want)
				}
			}
		})
	}
}

func TestHeaderRefuses(t *testing.T) {
	addr := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}
	for _, version := range []int{-1, 0, 3, 258} {
		if got, err := proxyproto.Header(version, addr, addr); err == nil {
			t.Errorf("version %d is %q", version, got)
		}
	}
	for _, port := range []int{-1, 65536} {
		for version := 1; version <= 2; version++ {
			if got, err := proxyproto.Header(version, addr, &net.TCPAddr{IP: addr.IP, Port: port}); err == nil || bytes.Contains(got, []byte("PROXY")) {
				t.Errorf("port %d is %q in version %d", port, got, version)
			}
		}
	}
}
