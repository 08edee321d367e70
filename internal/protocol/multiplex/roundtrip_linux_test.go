package multiplex_test

import (
	"testing"

	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/multiplex"
)

// A tunnel has a round trip, be it of one session or of several. Only Linux tells.
func TestRoundTrip(t *testing.T) {
	one, _ := newTunnel(t)
	several := newSessions(t, &multiplex.Relay{}, 2, 2).tunnel
	for what, tunnel := range map[string]protocol.Session{"one session": one, "several sessions": several} {
		timed, ok := tunnel.(protocol.Timed)
		if !ok {
			t.Errorf("%s: a %T has no round trip", what, tunnel)
		} else if got := timed.RoundTrip(); got <= 0 || got > patience {
			t.Errorf("%s: over loopback it takes %v", what, got)
		}
	}
}
