package wire

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Notice is a relay's message to a relay client about a limit that its users have
// reached since the last notice. It comes in the PROXY header of a user.
type Notice struct {
	Limit  string // its name in the relay's counters
	Waited int64  // users who had to wait
	Reset  int64  // users who were reset
}

// maxLimitName bounds the name of a limit, in bytes.
const maxLimitName = 64

// Bytes returns the notice as it is sent.
func (n Notice) Bytes() []byte {
	return fmt.Appendf(nil, "%s %d %d", n.Limit, n.Waited, n.Reset)
}

var errNotice = errors.New("it is no notice")

// ParseNotice parses what Bytes returns.
func ParseNotice(b []byte) (n Notice, err error) {
	words := strings.Split(string(b), " ")
	if len(words) != 3 || !isLimitName(words[0]) {
		return Notice{}, errNotice
	}
	n.Limit = words[0]
	for i, number := range []*int64{&n.Waited, &n.Reset} {
		if *number, err = strconv.ParseInt(words[1+i], 10, 64); err != nil || *number < 0 {
			return Notice{}, errNotice
		}
	}
	return n, nil
}

func isLimitName(s string) bool {
	other := func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }
	return s != "" && len(s) <= maxLimitName && strings.IndexFunc(s, other) < 0
}
