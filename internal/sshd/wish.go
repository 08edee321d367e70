package sshd

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed96252745/relay/internal/wire"
)

// wish is what a user name asks for.
type wish struct {
	wire.Preamble
	none bool // the client has no other method
}

// wishKeys are the options of docs/protocol.md that a user name can have.
var wishKeys = []string{
	wire.OptionName, wire.OptionGroup, wire.OptionBalance, wire.OptionUsers,
	wire.OptionUsersPerSecond, wire.OptionBytesPerSecond,
}

// wishAuth is the key of the method of authentication.
const wishAuth = "auth"

// parseWish parses a user name such as name+web+users+5: pairs of a key and a value. One that
// does not begin with a key is the name of a person, and asks for nothing.
func parseWish(user string) (w wish, err error) {
	words := strings.Split(user, "+")
	if len(words) == 1 || words[0] != wishAuth && !slices.Contains(wishKeys, words[0]) {
		return wish{}, nil
	}
	if len(words)%2 != 0 {
		return wish{}, fmt.Errorf("the user name has a key without a value: write it as name+web or name+web+users+5")
	}
	var options []wire.Option
	for pair := range slices.Chunk(words, 2) {
		key, value := pair[0], pair[1]
		switch {
		case key == wishAuth && value == "none":
			w.none = true
		case key == wishAuth:
			return wish{}, fmt.Errorf("the user name has auth+%.20q: only auth+none is known", value)
		case !slices.Contains(wishKeys, key):
			return wish{}, fmt.Errorf("the user name has the key %.20q: keys are %s", key, strings.Join(wishKeys, ", "))
		default:
			options = append(options, wire.Option{Key: key, Value: value})
		}
	}
	// A group needs a lease, which the front gives.
	grouped := append(slices.Clone(options), wire.Option{Key: wire.OptionLease, Value: strings.Repeat("-", 22)})
	if w.Preamble, err = wire.ParsePreamble(grouped); err != nil {
		return wish{}, fmt.Errorf("the user name: %w", err)
	}
	w.Lease = ""
	return w, nil
}
