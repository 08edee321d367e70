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
	// Ports are those that it may have, and may ask for by number. Nil means what
	// the relay chooses, from its own.
	Ports port.Set
	// Tunnels is how many it may have. Zero means 100.
	Tunnels int
	// Policy is that of each of its public ports.
	Policy policy.Policy
	// Watch has ended called, once, when the identity no longer holds, and stop
	// ends that. Ended must not wait. Nil for an identity that holds for ever.
	Watch func(ended func(reason error)) (stop func())
}

// ErrUnauthorized is wrapped by what Config.Identify returns for a token that is
// nobody's. Who shows the same one again has to wait for the answer, and who shows very
// many different ones is shut out, as for wrong claims.
var ErrUnauthorized = errors.New("the relay does not know who this is")

// ErrIdentityChanged is wrapped by the reason for which an identity no longer holds
// that may come back as the same one, if with other rights: it keeps its leases, as
// far as Config.WatchOwner has it.
var ErrIdentityChanged = endpoint.ErrIdentityChanged
