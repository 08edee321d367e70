package wire

import (
	"crypto/rand"
	"crypto/sha256"
)

// NewID returns an id of a pool or of a waiting user: 26 characters with 130 random
// bits. Anybody who knows it can take over those users, so it is never logged.
func NewID() string { return rand.Text() }

// Key is the key under which an id is looked up: a hash, so that neither the time of a
// look-up nor a dump of the table reveals anything about the ids.
type Key [sha256.Size]byte

// KeyOf returns the key of an id that was given to owner. With any other owner the same
// id has another key.
func KeyOf(owner, id string) Key { return sha256.Sum256([]byte(owner + "\n" + id)) }
