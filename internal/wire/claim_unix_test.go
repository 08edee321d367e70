//go:build unix

package wire_test

import (
	"io"
	"net"
	"testing"

	"github.com/seed96252745/relay/internal/wire"
)

// TryReadClaim reads a claim if all of it is there, and nothing beyond it. Anything
// else stays in the connection.
func TestTryReadClaim(t *testing.T) {
	for _, tt := range []struct {
		come, id, stays string
	}{
		{"pool\nABC\n", "ABC", ""},
		{"event\nABC\nwhat the local server says", "ABC", "what the local server says"},
		{"+key value\nevent\nABC\n", "ABC", ""},
		{"", "", ""},
		{"pool\n", "", "pool\n"},
		{"pool\nABC", "", "pool\nABC"},
		{"pool\nnew\n", "", "pool\nnew\n"},
		{"multiplex\n", "", "multiplex\n"},
		{"GET / HTTP/1.1\r\n\r\n", "", "GET / HTTP/1.1\r\n\r\n"},
	} {
		t.Run(tt.come, func(t *testing.T) {
			conn, peer := connKinds["peek"](t)
			if _, err := io.WriteString(peer, tt.come); err != nil {
				t.Fatal(err)
			}
			// On loopback what was written has come.
			req, ok := wire.TryReadClaim(conn, verbs)
			if want := tt.id != ""; ok != want || ok && req.ID != tt.id {
				t.Errorf("got %+v, %v", req, ok)
			}
			_ = peer.(*net.TCPConn).CloseWrite()
			if rest, err := io.ReadAll(conn); string(rest) != tt.stays || err != nil {
				t.Errorf("%q is left, %v; want %q", rest, err, tt.stays)
			}
		})
	}
}
