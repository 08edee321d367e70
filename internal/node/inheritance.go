package node

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/upgrade"
)

// Inheritance is what a process has from the one from which it takes over. Make it with
// Inherit.
type Inheritance struct {
	link      *upgrade.Link
	listeners map[string]int // descriptors
	estate    server.Estate
	elders    elders
}

// Inherit asks the process at the other end of a link for what it has, and waits for that.
// Place is where the relay is to have its ports. The caller has checked all that it can: from
// now on no relay client can register until Begin.
func Inherit(link *upgrade.Link, place string) (*Inheritance, error) {
	err := link.Send(upgrade.Message{Kind: upgrade.Hello, Version: upgrade.Version, PID: os.Getpid(), Name: place}, -1)
	if err != nil {
		return nil, predecessorError(err)
	}
	i := &Inheritance{link: link, listeners: make(map[string]int)}
	i.elders.all = []*elder{newElder(os.Getppid(), link)}
	for {
		m, fd, err := link.Receive()
		if err != nil {
			i.Close()
			return nil, predecessorError(err)
		}
		switch m.Kind {
		case upgrade.Complete:
			for _, e := range i.elders.all {
				i.estate.Older = append(i.estate.Older, e)
			}
			return i, nil
		case upgrade.Failed:
			i.Close()
			return nil, errors.New(m.Text)
		}
		if err := i.take(m, fd); err != nil {
			i.Close()
			return nil, err
		}
	}
}

// predecessorError says of the error of a link whose it is.
func predecessorError(err error) error {
	if isEnd(err) {
		return errors.New("the process from which to take over has ended: start the relay again")
	}
	return fmt.Errorf("the process from which to take over: %w", err)
}

// take takes one thing of the estate.
func (i *Inheritance) take(m upgrade.Message, fd int) error {
	switch m.Kind {
	case upgrade.Listener:
		i.listeners[m.Name] = fd
	case upgrade.Older:
		older, err := upgrade.Adopt(fd)
		if err != nil {
			return err
		}
		i.elders.all = append(i.elders.all, newElder(m.PID, older))
	case upgrade.Port:
		return i.takePort(m, fd)
	case upgrade.Fencing:
		return i.takeFence(m)
	case upgrade.Quarantine:
		i.estate.Quarantined = append(i.estate.Quarantined, lease.Quarantined{Port: m.Port, Owner: m.Owner, Until: m.Until})
	case upgrade.Ban:
		i.estate.Bans = append(i.estate.Bans, admission.Ban{Source: m.Source, Until: m.Until})
	default:
		upgrade.CloseFD(fd)
	}
	return nil
}

// errEstate is the error of an estate that makes no sense.
var errEstate = errors.New("what the process from which to take over has sent makes no sense")

func (i *Inheritance) takePort(m upgrade.Message, fd int) error {
	p := server.EstatePort{Number: m.Port, Owner: m.Owner, Paused: m.Paused, Served: m.Holder != nobody}
	if m.Holder < nobody || m.Holder >= len(i.elders.all) {
		upgrade.CloseFD(fd)
		return errEstate
	}
	if p.Served {
		p.Holder = i.elders.all[m.Holder]
	}
	if fd >= 0 {
		l, err := transport.AdoptListener(fd)
		if err != nil {
			return err
		}
		p.Listener = l
	}
	if m.Lease != nil {
		passed, err := passedOf(m)
		if err != nil {
			return err
		}
		p.Lease = &passed
	}
	i.estate.Ports = append(i.estate.Ports, p)
	return nil
}

// passedOf returns the lease of a port.
func passedOf(m upgrade.Message) (p lease.Passed, err error) {
	l := m.Lease
	if len(l.Key) != len(lease.Key{}) || len(l.Before) > lease.MostBefore {
		return p, errEstate
	}
	var before []lease.Place
	for _, place := range l.Before {
		before = append(before, lease.Place{Port: place.Port, Until: place.Until})
	}
	is := lease.Lease{Key: lease.Key(l.Key), Name: l.Name, Identity: l.Identity, Group: l.Group}
	return lease.Passed{Lease: is.At(lease.Place{Port: m.Port, Until: l.Until}, before), Ephemeral: l.Ephemeral}, nil
}

// takeFence takes what the lease of the last port knows of one relay client.
func (i *Inheritance) takeFence(m upgrade.Message) error {
	last := len(i.estate.Ports) - 1
	f := m.Fence
	if last < 0 || f == nil || len(f.Key) != len(lease.Key{}) {
		return errEstate
	}
	p := &i.estate.Ports[last]
	if p.Number != m.Port || p.Lease == nil {
		return errEstate
	}
	p.Lease.Fences = append(p.Lease.Fences, lease.Fence{
		Key: lease.Key(f.Key), Served: f.Served, Instance: f.Instance, Superseded: f.Superseded,
	})
	return nil
}

// Estate returns what the server is made of.
func (i *Inheritance) Estate() *server.Estate {
	if i == nil {
		return nil
	}
	return &i.estate
}

// Relay returns the listener of that name, for relay clients or users, or an error if there is
// none. It may be called once for each.
func (i *Inheritance) Relay(name string) (*transport.Listener, error) {
	fd, ok := i.listeners[name]
	if !ok {
		return nil, fmt.Errorf("the process from which to take over has no listener %s", name)
	}
	delete(i.listeners, name)
	return transport.AdoptListener(fd)
}

// Other returns the listener of that name as one of the net package, or nil if there is none.
// It may be called once for each.
func (i *Inheritance) Other(name string) (net.Listener, error) {
	if i == nil {
		return nil, nil
	}
	fd, ok := i.listeners[name]
	if !ok {
		return nil, nil
	}
	delete(i.listeners, name)
	file := os.NewFile(uintptr(fd), name)
	defer file.Close() //nolint:errcheck // the listener has another one
	return net.FileListener(file)
}

// Ready says that the process is ready, and waits until the other one lets go. If that one has
// died it has let go, too: one that keeps its ports ends this process, and no link before that.
func (i *Inheritance) Ready() error {
	err := i.link.Send(upgrade.Message{Kind: upgrade.Ready}, -1)
	if err == nil {
		_, err = await(i.link, upgrade.Committed)
	}
	if err != nil && !isEnd(err) {
		return fmt.Errorf("the process from which to take over has kept its ports: %w", err)
	}
	return nil
}

// Begin has a server that is made of the estate begin, after Ready.
func (i *Inheritance) Begin(s *server.Server) {
	for _, e := range i.elders.all {
		e.server = s
		go e.listen(s)
	}
	s.Begin()
}

// Close closes what nobody has taken.
func (i *Inheritance) Close() {
	if i == nil {
		return
	}
	for name, fd := range i.listeners {
		upgrade.CloseFD(fd)
		delete(i.listeners, name)
	}
	for _, e := range i.elders.all {
		_ = e.link.Close()
		if e.server != nil {
			<-e.gone
		}
	}
}

// pause has nobody listen to the predecessors, and returns those that live.
func (i *Inheritance) pause() (all paused) {
	if i == nil {
		return nil
	}
	for _, e := range i.elders.living() {
		if e.pause() {
			all = append(all, e)
		}
	}
	return all
}
