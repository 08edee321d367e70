package conn_test

import (
	"net"
	"testing"

	"github.com/seed96252745/relay/internal/conn"
)

// outer is a connection around another one.
type outer struct {
	conn.Conn
	sameBytes bool
}

func (o outer) Unwrap() (conn.Conn, bool) { return o.Conn, o.sameBytes }

// socket is a connection that has a descriptor.
type socket struct{ conn.Conn }

func (socket) Control(func(uintptr)) error { return nil }

func TestUnwrap(t *testing.T) {
	inner := &socket{}
	same := outer{inner, true}
	other := outer{same, false}
	for _, tt := range []struct{ of, innermost conn.Conn }{
		{inner, inner}, {same, inner}, {other, other}, {outer{other, true}, other},
	} {
		if got := conn.Innermost(tt.of); got != tt.innermost {
			t.Errorf("the bytes of %#v come from %#v", tt.of, got)
		}
		if got, ok := conn.As[conn.Controller](tt.of); !ok || got != conn.Controller(inner) {
			t.Errorf("%#v stands on %#v, %v", tt.of, got, ok)
		}
	}
	if got, ok := conn.As[conn.Socket](other); ok {
		t.Errorf("got %#v", got)
	}
}

type named string

func (named) Network() string  { return "named" }
func (n named) String() string { return string(n) }

func TestAddrPort(t *testing.T) {
	for want, addrs := range map[string][]net.Addr{
		"192.0.2.1:80": {
			&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80}, &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1).To4(), Port: 80},
			named("192.0.2.1:80"), named("[::ffff:192.0.2.1]:80"),
		},
		"[2001:db8::1]:80": {&net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 80, Zone: "eth0"}, named("[2001:db8::1%eth0]:80")},
		"invalid AddrPort": {nil, (*net.TCPAddr)(nil), &net.TCPAddr{}, &net.UnixAddr{}, named("relay.example:80")},
	} {
		for _, addr := range addrs {
			if got := conn.AddrPort(addr).String(); got != want {
				t.Errorf("%#v is %s, want %s", addr, got, want)
			}
		}
	}
}
