package wire

import (
	"crypto/rand"
	"crypto/sha256"
)

// NewID makes an id of a pool or of a user who waits: 26 characters with 130
// random bits. Whoever knows it can take those users, so it is never logged.
func NewID() string { return rand.Text() }

// Key is what ids are looked up by: a hash, so that neither the time of a
// look-up nor a dump of the table tells anything about them.
type Key [sha256.Size]byte

// KeyOf gives the key of an id that was given to owner. For anybody else the id
// means nothing: its key is another one.
func KeyOf(owner, id string) Key { return sha256.Sum256([]byte(owner + "\n" + id)) }
