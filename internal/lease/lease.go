// Package lease knows who owns which public port, also across restarts of the relay.
//
// A [Lease] is an owner's right to a port and a name. It is known by the hash of a key
// that only its owner has. While its owner is served a lease is active, and has no end;
// while its owner is away it has one.
//
// [Ports] hands out the ports, a [Registry] decides about the state of each lease, and a
// [Store] keeps the leases, in a file ([Open]). It knows owners, ports and listeners, and
// nothing of tunnels and users. Which relay client may have which port is package server's
// to decide.
package lease

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/seed96252745/relay/internal/observe"
)

// Key is what a lease is known by.
type Key [sha256.Size]byte

// KeyOf returns the key of the lease of an identity that shows a secret. For another
// identity the same secret is another lease.
func KeyOf(identity, secret string) Key { return sha256.Sum256([]byte(identity + "\n" + secret)) }

// GroupKeyOf returns the key of the lease that the members of a group have together. It is
// no secret's: a secret has no space in it.
func GroupKeyOf(identity, group string) Key { return KeyOf(identity, "group "+group) }

// Kind is what a lease is the right to.
type Kind uint8

// KindPort is a public TCP port.
const KindPort Kind = 0

// MarshalText returns the word for the kind that a file has.
func (Kind) MarshalText() ([]byte, error) { return []byte("port"), nil }

// UnmarshalText reads the word for a kind. A file without one has ports.
func (k *Kind) UnmarshalText(word []byte) error {
	if string(word) != "port" {
		return fmt.Errorf("a lease is of kind %q", word)
	}
	*k = KindPort
	return nil
}

// Lease is the right to a port.
type Lease struct {
	Key      Key
	Kind     Kind
	Port     int
	Name     string    // or empty
	Identity string    // whose token was shown; empty for anybody's
	Group    string    // that has it; empty for one relay client
	Until    time.Time // when it ends; zero while its owner is served
	// Before are ports that it had, the last one first, and that the relay could not
	// open when it was started: its owner has Port since then. The rest is zero.
	Before [MostBefore]Place
}

// MostBefore is how many ports a lease may have that cannot be opened: one for each
// mistaken start of the relay, of which the next one is the right one mostly.
const MostBefore = 3

// Place is a port that a lease has the right to, until then.
type Place struct {
	Port  int       `json:"port"`
	Until time.Time `json:"until"`
}

// Places returns all ports that the lease has the right to, the last one first.
func (l Lease) Places() []Place {
	places := []Place{{l.Port, l.Until}}
	for _, place := range l.Before {
		if place.Port != 0 {
			places = append(places, place)
		}
	}
	return places
}

// At returns the lease with another port, and those that it had before that.
func (l Lease) At(place Place, before []Place) Lease {
	l.Port, l.Until, l.Before = place.Port, place.Until, [MostBefore]Place{}
	copy(l.Before[:], before)
	return l
}

// EndEvent returns the event of the lease's end, for the given reason.
func (l Lease) EndEvent(why error) observe.Event {
	e := observe.Event{Name: observe.LeaseEnded, Tunnel: observe.Tunnel{Port: l.Port, Identity: l.Identity, Name: l.Name}}
	e.Because(why)
	return e
}

// Store keeps leases for the next start of the relay. Its methods may be called
// concurrently.
type Store interface {
	// Load returns all leases that were saved.
	Load() ([]Lease, error)
	// Save keeps l in place of what was saved for its key. When it returns, l
	// survives the death of the process.
	Save(l Lease) error
	// Delete forgets a lease.
	Delete(Key) error
	// Close ends the use of the store.
	Close() error
}

// Forget is a Store that remembers nothing.
type Forget struct{}

// Load returns nothing.
func (Forget) Load() ([]Lease, error) { return nil, nil }

// Save does nothing.
func (Forget) Save(Lease) error { return nil }

// Delete does nothing.
func (Forget) Delete(Key) error { return nil }

// Close does nothing.
func (Forget) Close() error { return nil }
