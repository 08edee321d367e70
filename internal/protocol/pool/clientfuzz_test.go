package pool_test

import (
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/protocol/pool"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
)

// Whatever the relay sends, the client claims with the id that it was given, and
// ends.
func FuzzClient(f *testing.F) {
	claims := func(t *testing.T, said []byte, heard []string, registered, _ bool) {
		for _, claim := range heard {
			if !registered || claim != "pool\n"+idOf(said)+"\n" {
				t.Errorf("after %q it said %q", said, claim)
			}
		}
	}
	protocoltest.ClientFuzz{Client: pool.Client{Size: 3}, MostDials: 50, Check: claims}.Run(f,
		"", "20001\n", "20001\nID\n", "+\n20001\nID\n", "+lease 60\n20001\nID\n", "20001\r\nID\r\nand payload", "20001\nI D\n", "-draining \x1b[2J\n", "20001\nnew\n", "20001\n\n",
	)
}

// idOf returns the id, which comes after the port.
func idOf(said []byte) string {
	id, _, _ := strings.Cut(string(said), "\n")
	return strings.TrimSuffix(id, "\r")
}
