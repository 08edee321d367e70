package event_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/protocol/event"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
)

// idLine is an id on the control connection, with its end.
var idLine = regexp.MustCompile(`^[!-~]{1,128}\r?\n`)

// Whatever the relay sends, the client claims the ids in it that come before the
// first line that is none, each once, and ends. If the relay refuses the claims, the client
// may end before it has made all.
func FuzzClient(f *testing.F) {
	claims := func(t *testing.T, said []byte, heard []string, registered, refuses bool) {
		if !registered {
			if len(heard) > 0 {
				t.Errorf("not registered, and said %q", heard)
			}
			return
		}
		ids := string(said)
		var want []string
		for id := idLine.FindString(ids); id != ""; id = idLine.FindString(ids) {
			want = append(want, "event\n"+strings.TrimRight(id, "\r\n")+"\n")
			ids = ids[len(id):]
		}
		for _, claim := range heard {
			i := slices.Index(want, claim)
			if i < 0 {
				t.Fatalf("after %q it said %q once too often", said, claim)
			}
			want = slices.Delete(want, i, i+1)
		}
		const refused = 2 // in a row end a registration
		if len(want) > 0 && (!refuses || len(heard) < refused) {
			t.Errorf("after %q it did not say %q", said, want)
		}
	}
	protocoltest.ClientFuzz{Client: &event.Client{}, MostDials: 1 << 12, Check: claims}.Run(f,
		"", "+\n1\n", "+lease 60\n20001\nA\n", "20001\n", "20001\r\nA\nB\r\nA\n", "20001\nA B\nC\n", "-draining \x1b[2J\n", "-no-port no\n", "65536\n", "20001\nA\n\nB\n",
		"20001\n"+strings.Repeat("ID\n", 300), "20001\n"+strings.Repeat("I", 129)+"\n", "HTTP/1.1 400 Bad Request\r\n\r\n",
	)
}
