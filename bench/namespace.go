//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/seed96252745/relay/internal/netlab"
)

const (
	nearHost = "192.0.2.1"
	farHost  = "192.0.2.2"
	device   = "wire0"
)

// network is two namespaces with a wire between them.
type network struct {
	near, far place
	wire      *netlab.Wire
	hosts     []*netlab.Host
}

// newNetwork makes a network. No other one of this process has its number.
func newNetwork(ctx context.Context, number int64, c netlab.Conditions) (n *network, err error) {
	prefix := fmt.Sprintf("relay-bench-%d-%d", os.Getpid(), number)
	n = &network{near: place{nearHost, prefix + "-near"}, far: place{farHost, prefix + "-far"}}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	for _, at := range []place{n.near, n.far} {
		host, err := netlab.NewHost(ctx, at.namespace)
		if err != nil {
			return n, err
		}
		n.hosts = append(n.hosts, host)
	}
	near, far := n.hosts[0], n.hosts[1]
	n.wire, err = netlab.NewWire(ctx, netlab.End{Host: near, Device: device}, netlab.End{Host: far, Device: device}, c)
	if err != nil {
		return n, err
	}
	if err := near.IP(ctx, "addr", "add", nearHost, "peer", farHost, "dev", device); err != nil {
		return n, err
	}
	return n, far.IP(ctx, "addr", "add", farHost, "peer", nearHost, "dev", device)
}

// close removes what there is of it.
func (n *network) close() error {
	var errs []error
	if n.wire != nil {
		errs = append(errs, n.wire.Close())
	}
	for _, host := range n.hosts {
		errs = append(errs, host.Close())
	}
	return errors.Join(errs...)
}
