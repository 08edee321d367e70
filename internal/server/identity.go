package server

import (
	"errors"

	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/policy"
	"github.com/seed96252745/relay/internal/port"
)

// Identity is who a relay client is. The zero value is nobody in particular.
type Identity struct {
	Name string
	// Ports are the public ports that it may have, and may ask for by number. Nil means
	// that the relay chooses one of its own.
	Ports port.Set
	// Tunnels is how many it may have at a time. Zero means 100.
	Tunnels int
	// Policy is that of each of its public ports.
	Policy policy.Policy
	// Watch calls ended, once, when the identity no longer holds, until stop is called.
	// Ended must not wait. Nil is an identity that holds for ever.
	Watch func(ended func(reason error)) (stop func())
}

// ErrUnauthorized is wrapped by the error of Config.Identify for a token that the relay does
// not know. The refusal of a token that comes again is delayed, and a source of very many
// different ones is banned, as for wrong claims.
var ErrUnauthorized = errors.New("the relay does not know who this is")

// ErrIdentityChanged is wrapped by the reason of an identity that no longer holds and may
// come back with other rights: it keeps its leases as far as Config.WatchOwner allows.
var ErrIdentityChanged = endpoint.ErrIdentityChanged
