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

// A probe has no addresses, and others read its header as one of a connection that the
// proxy has made itself.
func TestProbeHeader(t *testing.T) {
	header := proxyproto.ProbeHeader()
	const bytesOfThePage = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x03\xe6\x00\x00"
	if string(header) != bytesOfThePage {
		t.Errorf("the header is %q", header)
	}
	r := strings.NewReader(string(header) + "rest")
	user, public, details, err := proxyproto.ReadDetails(r)
	if err != nil || user != nil || public != nil || !details.Probe {
		t.Errorf("got %v, %v, %+v, %v", user, public, details, err)
	}
	if rest, _ := io.ReadAll(r); string(rest) != "rest" {
		t.Errorf("%q is left", rest)
	}
	if user, _, err := proxyproto.ReadEither(bytes.NewReader(header)); err != nil || user != nil {
		t.Errorf("a local server reads %v, %v", user, err)
	}
}

// With a user it is no probe, nor without the mark.
func TestNoProbe(t *testing.T) {
	addr := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 1000}
	of := func(h *pires.Header) []byte {
		if err := h.SetTLVs([]pires.TLV{{Type: 0xe6}, {Type: 0xe7, Value: []byte("more")}}); err != nil {
			t.Fatal(err)
		}
		formatted, err := h.Format()
		if err != nil {
			t.Fatal(err)
		}
		return formatted
	}
	unmarked, err := proxyproto.Header(2, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		header []byte
		want   bool
	}{
		"of a user":        {of(pires.HeaderProxyFromAddrs(2, addr, addr)), false},
		"without the mark": {unmarked, false},
		"with more, LOCAL": {of(&pires.Header{Version: 2, Command: pires.LOCAL, TransportProtocol: pires.UNSPEC}), true},
	} {
		_, _, details, err := proxyproto.ReadDetails(bytes.NewReader(c.header))
		if err != nil || details.Probe != c.want {
			t.Errorf("%s: got %+v, %v", name, details, err)
		}
	}
}

// FuzzReadDetails reads any rest of a header: a probe has no user.
func FuzzReadDetails(f *testing.F) {
	f.Add(proxyproto.ProbeHeader())
	addr := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 1000}
	header, err := proxyproto.HeaderWithDetails(addr, addr, proxyproto.Details{Notice: []byte("users 1 2"), Sequence: proxyproto.Sequence{Number: 3, After: 2}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(header)
	f.Fuzz(func(t *testing.T, in []byte) {
		user, _, details, err := proxyproto.ReadDetails(bytes.NewReader(in))
		if details.Probe && (user != nil || err != nil || len(details.Notice) > 0 || details.Sequence != (proxyproto.Sequence{})) {
			t.Errorf("%q: a probe of %v, %+v, %v", in, user, details, err)
		}
	})
}

// The header of a control channel is like that of a probe, and is none.
func TestControlHeader(t *testing.T) {
	header := proxyproto.ControlHeader()
	const bytesOfThePage = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x03\xe7\x00\x00"
	if string(header) != bytesOfThePage {
		t.Errorf("the header is %q", header)
	}
	user, public, details, err := proxyproto.ReadDetails(bytes.NewReader(header))
	if err != nil || user != nil || public != nil || details.Probe || !details.Control {
		t.Errorf("got %v, %v, %+v, %v", user, public, details, err)
	}
}
