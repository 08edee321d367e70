package forwarder

import "github.com/seed96252745/relay"

// counts are what services have counted that are no more.
type counts struct {
	connections, received, sent int64
	met                         int64 // users who had to wait for the local server
}

func (c *counts) add(s relay.ForwarderState) {
	c.connections += s.Connections
	c.received += s.Received
	c.sent += s.Sent
	for _, l := range s.Limits {
		c.met += l.Met
	}
}

// look is what the services are and do at one moment. Nothing in it is counted twice, or not at
// all, when a service is no more a moment later.
type look struct {
	services []*service
	states   []relay.ForwarderState // of those
	past     counts
}

func (n *Node) look() look {
	n.mu.Lock()
	l := look{services: append([]*service(nil), n.services...), past: n.past}
	n.mu.Unlock()
	l.states = make([]relay.ForwarderState, len(l.services))
	for i, s := range l.services {
		l.states[i] = s.forwarder.State()
	}
	return l
}
