package admission

import (
	"errors"
	"fmt"
)

// Why a tunnel is not admitted.
var (
	ErrTunnelsPerSource   = errors.New("this address has as many tunnels as the relay allows")
	ErrTunnelsPerNetwork  = errors.New("the network of this address has as many tunnels as the relay allows")
	ErrTunnelsPerIdentity = errors.New("this token has as many tunnels as it is good for")
	ErrNoDescriptors      = errors.New("no descriptors are left for another tunnel")
)

// tunnelsPerIdentity is the limit of an identity that has none of its own.
const tunnelsPerIdentity = 100

// Descriptors of a user: its connection, and the one to the relay client. A public port
// takes a listener and, mostly, a connection.
const (
	userDescriptors   = 2
	tunnelDescriptors = 2
)

// AcquireTunnelDescriptors takes the descriptors of a public port.
func (c *Controller) AcquireTunnelDescriptors() error {
	if !c.descriptors.TakeForClient(tunnelDescriptors) {
		c.Counters.Add(Descriptors)
		return ErrNoDescriptors
	}
	return nil
}

// ReleaseTunnelDescriptors gives back the descriptors of a public port.
func (c *Controller) ReleaseTunnelDescriptors() { c.descriptors.Give(tunnelDescriptors) }

// AcquireClientDescriptor takes a descriptor for a further connection of relay clients, if
// as many are left for them, and reports whether it did: for a control channel, which with
// multiplex needs none, and has a margin, or for a member of a group.
func (c *Controller) AcquireClientDescriptor() bool { return c.descriptors.TakeForClient(1) }

// ReleaseClientDescriptor gives that descriptor back.
func (c *Controller) ReleaseClientDescriptor() { c.descriptors.Give(1) }

// AdmitTunnel counts a public port against an identity, by its name and its limit (zero
// is 100), or else against the source. The port's account calls release
// once.
func (c *Controller) AdmitTunnel(identity string, limit int, source Source) (release func(), err error) {
	switch {
	case identity != "":
		if limit == 0 {
			limit = tunnelsPerIdentity
		}
		if !c.identities.Acquire(identity, limit) {
			c.Counters.Add(TunnelsPerSource)
			return nil, fmt.Errorf("%w: %d", ErrTunnelsPerIdentity, limit)
		}
		return func() { c.identities.Release(identity) }, nil
	case !source.IsShared():
		return c.admitTunnelOf(source)
	}
	return func() {}, nil
}

// admitTunnelOf counts a public port against a source and the network of that.
func (c *Controller) admitTunnelOf(source Source) (release func(), err error) {
	limits := c.limits.Load()
	if !c.tunnels.Acquire(source, limits.TunnelsPerSource) {
		c.Counters.Add(TunnelsPerSource)
		return nil, fmt.Errorf("%w: %d", ErrTunnelsPerSource, limits.TunnelsPerSource)
	}
	if !c.networks.Acquire(source.Network(), limits.TunnelsPerNetwork) {
		c.tunnels.Release(source)
		c.Counters.Add(TunnelsPerNetwork)
		return nil, fmt.Errorf("%w: %d", ErrTunnelsPerNetwork, limits.TunnelsPerNetwork)
	}
	return func() { c.releaseTunnelOf(source) }, nil
}

// CountTunnel is AdmitTunnel for a public port that a source has already: the limits do
// not hold.
func (c *Controller) CountTunnel(source Source) (release func()) {
	if source.IsShared() {
		return func() {}
	}
	c.tunnels.Add(source)
	c.networks.Add(source.Network())
	return func() { c.releaseTunnelOf(source) }
}

func (c *Controller) releaseTunnelOf(source Source) {
	c.tunnels.Release(source)
	c.networks.Release(source.Network())
}
