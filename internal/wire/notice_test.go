package wire_test

import (
	"math"
	"testing"

	"github.com/seed96252745/relay/internal/wire"
)

func TestNotice(t *testing.T) {
	for _, n := range []wire.Notice{{"usersPerSecond", 12, 3}, {"users", 0, math.MaxInt64}} {
		if got, err := wire.ParseNotice(n.Bytes()); err != nil || got != n {
			t.Errorf("%q is read as %+v, %v; want %+v", n.Bytes(), got, err, n)
		}
	}
}

// ParseNotice accepts only notices, and those can be shown.
func FuzzParseNotice(f *testing.F) {
	for _, s := range []string{"usersPerSecond 12 3", "", "users 1", "users 1 -2", "users 1 2 3", "\x1b[2J 1 2", "users  1 2", "users 99999999999999999999 1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := wire.ParseNotice(b)
		if err != nil {
			return
		}
		for _, c := range n.Limit {
			if c < 'A' || c > 'z' {
				t.Errorf("%q is a limit's name", n.Limit)
			}
		}
		if n.Limit == "" || n.Waited < 0 || n.Reset < 0 {
			t.Errorf("%q is read as %+v", b, n)
		}
	})
}
