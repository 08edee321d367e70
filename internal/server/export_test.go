package server

import "github.com/seed96252745/relay/internal/port"

// Ports are what hands out public ports.
type Ports struct{ ports *ports }

// Quarantine is for how long a port that was lost is kept from others.
const Quarantine = quarantine

func NewPorts(listen func(int) (Listener, error)) Ports { return Ports{newPorts(listen)} }

func (p Ports) Open(ranges port.Set, owner string) (number int, err error) {
	_, number, err = p.ports.open(ranges, owner)
	return number, err
}

func (p Ports) OpenOne(number int, owner string) error {
	_, err := p.ports.openOne(number, owner)
	return err
}

func (p Ports) Release(number int, owner string) { p.ports.release(number, owner) }

func (p Ports) Free(number int) { p.ports.free(number) }
