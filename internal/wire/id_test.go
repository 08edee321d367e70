package wire_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/wire"
)

// An id is a capability that nobody may be able to guess: 26 characters of a 32-letter
// alphabet are 130 bits, if they are random.
func TestNewID(t *testing.T) {
	shape := regexp.MustCompile(`^[A-Z2-7]{26}$`)
	const n = 1000
	seen := make(map[string]bool, n)
	var letters [26]map[byte]bool
	for range n {
		id := wire.NewID()
		if !shape.MatchString(id) {
			t.Fatalf("id %q", id)
		}
		if seen[id] {
			t.Fatalf("id %q was given twice", id)
		}
		seen[id] = true
		for i := range letters {
			if letters[i] == nil {
				letters[i] = make(map[byte]bool)
			}
			letters[i][id[i]] = true
		}
	}
	// In 1000 draws each of 32 letters is missing with probability 2e-14.
	for i, l := range letters {
		if len(l) != 32 {
			t.Errorf("place %d has %d of 32 letters in %d ids: too few bits", i, len(l), n)
		}
	}
}

func TestNewIDCanBeRead(t *testing.T) {
	id := wire.NewID()
	if got, err := wire.ReadID(strings.NewReader(id + "\n")); err != nil || got != id {
		t.Errorf("got %q, %v; want %q", got, err, id)
	}
	if id == "new" {
		t.Error("an id that asks for a new tunnel")
	}
}

func TestKeyOf(t *testing.T) {
	if id := wire.NewID(); wire.KeyOf("", id) != wire.KeyOf("", strings.Clone(id)) {
		t.Error("the key of one id differs")
	}
	if wire.KeyOf("", "A") == wire.KeyOf("", "B") {
		t.Error("two ids have one key")
	}
	if wire.KeyOf("a", "ID") == wire.KeyOf("b", "ID") {
		t.Error("an id means the same for two owners")
	}
	if key := wire.KeyOf("", "secret"); strings.Contains(string(key[:]), "secret") {
		t.Error("a key contains its id")
	}
}
