package wire

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Notice is what a relay tells a relay client about a limit that its users have met,
// since it last told so. It comes in the PROXY header of a user.
type Notice struct {
	Limit  string // its name, as in the relay's counters
	Waited int64  // users who had to wait
	Reset  int64  // users who were reset
}

// maxLimitName is how long the name of a limit may be.
const maxLimitName = 64

// Bytes gives the notice as it is sent.
func (n Notice) Bytes() []byte {
	return fmt.Appendf(nil, "%s %d %d", n.Limit, n.Waited, n.Reset)
}

var errNotice = errors.New("it is no notice")

// ParseNotice reads what Bytes gives.
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
