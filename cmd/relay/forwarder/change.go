package forwarder

import (
	"errors"
	"slices"

	"github.com/seed96252745/relay"
)

// change is how the services of a node change.
type change struct {
	node    *Node
	begin   []*service
	replace []replacement
	end     []*service
}

// replacement has a service go on as another.
type replacement struct {
	service *service
	next    Service
}

// Prepare looks what has to change for the node to put these services online, which are known by
// their names, or without one by their local servers. It returns an error if something in one of
// them makes no sense. Nothing has changed before apply is called, and that is done before the
// next Prepare, if at all.
//
// A service with the same Settings is not touched. One with others keeps its tunnel, its users and
// what it has counted, and goes on as it was until the relay has granted what it is now. A new
// one begins. One that is gone takes no more users, drains for Options.Drain at most, and has no
// tunnel any more then; if it comes back before that it is a new one.
//
// Apply returns an error if the node has ended, or if the key of a lease cannot be kept any more.
func (n *Node) Prepare(services []Service) (apply func() error, err error) {
	c := &change{node: n}
	n.mu.Lock()
	before := make(map[string]*service)
	for _, s := range n.services {
		if !s.gone {
			before[keyOf(&s.now.Load().Service)] = s
		}
	}
	last := n.last
	n.mu.Unlock()
	for _, next := range services {
		key := keyOf(&next)
		s, known := before[key]
		delete(before, key)
		switch {
		case known && s.now.Load().Settings == next.Settings:
		case known:
			if err := validate(next); err != nil {
				return nil, named(next.Name, err)
			}
			c.replace = append(c.replace, replacement{s, next})
		default:
			last++
			begun, err := n.newService(last, next)
			if err != nil {
				return nil, named(next.Name, err)
			}
			c.begin = append(c.begin, begun)
		}
	}
	for _, s := range before {
		c.end = append(c.end, s)
	}
	return c.apply, nil
}

// keyOf returns what a service is known by. Names have no colons.
func keyOf(s *Service) string {
	if s.Name != "" {
		return s.Name
	}
	return s.Relay + ":" + s.Local
}

// validate returns the error that a forwarder would be refused with.
func validate(s Service) error {
	_, err := relay.NewForwarder(s.Relay, s.Local, &s.Options) // nothing happens before Run
	return err
}

// apply makes the change. Those that are gone end first, as their ports may be wanted by others.
func (c *change) apply() error {
	n := c.node
	n.changing.Lock()
	defer n.changing.Unlock()
	n.mu.Lock()
	if n.ended {
		n.mu.Unlock()
		return errEnded
	}
	for _, s := range c.end {
		n.endLocked(s)
	}
	n.mu.Unlock()
	var errs []error
	for _, r := range c.replace {
		if err := r.service.replace(r.next); err != nil {
			errs = append(errs, named(r.next.Name, err))
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ended {
		return errors.Join(append(errs, errEnded)...)
	}
	for _, s := range c.begin {
		n.last = s.id
		n.services = append(n.services, s)
		if n.run != nil {
			n.run(s)
		}
	}
	return errors.Join(errs...)
}

// endLocked has a service drain. Its Run removes it then.
func (n *Node) endLocked(s *service) {
	s.gone = true
	if s.end != nil {
		s.end()
		return
	}
	n.services = slices.DeleteFunc(n.services, func(other *service) bool { return other == s })
}
