package multiplex_test

import (
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/protocol/multiplex"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
)

// Whatever the relay sends, the client serves the streams in it, opens no other
// connection, and ends.
func FuzzClient(f *testing.F) {
	silent := func(t *testing.T, _ []byte, heard []string, _, _ bool) {
		if len(heard) > 0 {
			t.Errorf("on other connections it said %q", heard)
		}
	}
	frames := func(frames ...frame) string {
		var b []byte
		for _, f := range frames {
			b = append(b, f.bytes()...)
		}
		return "20001\n" + string(b)
	}
	many := make([]frame, 300)
	for i := range many {
		many[i] = data(uint32(2*i+1), flagSYN, "x")
	}
	protocoltest.ClientFuzz{Client: &multiplex.Client{}, MostDials: 1, Check: silent}.Run(f,
		"", "20001\n", "20001\r\n", "-draining \x1b[2J\n", "2000", "x\n",
		frames(data(1, flagSYN, "hello"), data(1, flagFIN, "")),
		frames(data(1, flagSYN|flagFIN, "hello"), data(3, flagSYN, "hello"), data(3, flagRST, "")),
		frames(data(2, flagSYN, "hello"), frame{kind: typeGoAway}, data(1, flagSYN, "x")),
		frames(frame{kind: typePing, flags: flagSYN, length: 7}, frame{kind: typeGoAway, length: 1}),
		frames(frame{kind: typeWindow, flags: flagSYN, stream: 1, length: 1<<32 - 1}, data(1, 0, strings.Repeat("x", 5000))),
		frames(many...),
		frames(frame{kind: typeData, flags: flagSYN, stream: 1, length: 1<<32 - 1}),
	)
}

// Whatever the relay sends, further sessions come with an id, if at all, and the client
// ends.
func FuzzClientSessions(f *testing.F) {
	claims := func(t *testing.T, _ []byte, heard []string, registered, _ bool) {
		for _, claim := range heard {
			further := strings.HasPrefix(claim, "+session ") && strings.HasSuffix(claim, "\nmultiplex\n")
			if again := claim == "multiplex\n"; !again && (!further || !registered) {
				t.Errorf("it said %q", claim)
			}
		}
	}
	user := string(data(1, flagSYN, "hello").bytes())
	protocoltest.ClientFuzz{Client: &multiplex.Client{Sessions: 3}, MostDials: 50, Check: claims}.Run(f,
		"", "20001\n"+user, "+sessions 3\n+session ID\n20001\n", "+sessions 3\n+session ID\n20001\n"+user, "+session ID\n20001\n",
		"+sessions 300000\n+session ID\n20001\n", "+sessions 3\n20001\n", "+sessions 0\n+session ID\n20001\n", "+session I D\n20001\n",
		"-unknown-option sessions\n", "-unknown-option \x1b[2J\n", "+sessions 2\n+session ID\n-unknown-option sessions\n",
		"+sessions 3\n+session ID\n20001\n"+string(frame{kind: typeGoAway, length: 2}.bytes()),
	)
}
