package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/upgrade"
)

// Sharer is a listener of which another process can have a descriptor.
type Sharer interface{ Share() (fd int, err error) }

// Handover is how a relay hands over to another process.
type Handover struct {
	Server *server.Server
	Leases *lease.Deferred
	// Place is where the relay has its ports. The heir has to have them there, too.
	Place string
	// Listeners are what is handed over beside the public ports, by name.
	Listeners map[string]Sharer
	// From is what this process has itself from one before it, or nil.
	From *Inheritance
	// Let has what cannot be at two processes, such as the socket of the admin API, be free
	// for the heir. Unlet takes it back.
	Let, Unlet func()
	Log        *slog.Logger
}

// How long an heir may take. Until it asks it reads its configuration, and nobody waits for
// that. Then it opens the leases, and what comes to the control port waits, with users of
// protocols that have connections of their own: for less than a user waits for a relay client.
const (
	helloWait = 30 * time.Second
	readyWait = 5 * time.Second
)

// Run hands over to an heir that has just been started. After an error everything is as it
// was, and the heir has ended. Otherwise the server has a successor: the rest is to wait for
// its users.
func (h *Handover) Run(ctx context.Context, heir *upgrade.Heir) (*Succession, error) {
	err := within(ctx, heir, helloWait, func() error { return h.prepare(heir) })
	if err == nil {
		err = h.hand(ctx, heir)
	}
	if err != nil {
		end(heir, err)
		_ = heir.Close() // it is of no use any more
		if errors.Is(err, errEnded) {
			err = heir.Why()
		}
		return nil, err
	}
	next := &Succession{heir: heir, server: h.Server, log: h.Log}
	next.Told, next.Untold = h.Server.Succeed(next)
	next.running.Go(next.listen)
	return next, nil
}

// prepare waits until the heir asks, and checks that it means the same relay.
func (h *Handover) prepare(heir *upgrade.Heir) error {
	m, err := await(heir.Link, upgrade.Hello)
	if err != nil {
		return err
	}
	if m.Version != upgrade.Version {
		err = fmt.Errorf("it takes over in version %d, and this process hands over in version %d: stop this one and start that one", m.Version, upgrade.Version)
	} else if m.Name != h.Place {
		err = fmt.Errorf("its ports are %s, and those of this process are %s: stop this one and start that one", m.Name, h.Place)
	}
	if err != nil {
		_ = heir.Send(upgrade.Message{Kind: upgrade.Failed, Text: err.Error()}, -1)
	}
	return err
}

// hand hands everything over, and undoes that if the heir does not get ready.
func (h *Handover) hand(ctx context.Context, heir *upgrade.Heir) (err error) {
	if err := h.Server.Freeze(ctx); err != nil {
		return err
	}
	links := h.From.pause()
	defer func() {
		if err != nil {
			h.Server.Thaw()
			links.resume()
		} else {
			links.leave()
		}
	}()
	if err := h.Leases.Suspend(); err != nil {
		return errors.Join(err, h.Leases.Resume())
	}
	h.Let()
	defer func() {
		if err != nil {
			end(heir, err) // or it has the leases still
			h.takeBack()
		} else {
			h.Leases.Abandon()
		}
	}()
	err = within(ctx, heir, readyWait, func() error {
		if err := h.send(heir.Link, links); err != nil {
			return err
		}
		_, err := await(heir.Link, upgrade.Ready)
		return err
	})
	if err == nil {
		err = heir.Send(upgrade.Message{Kind: upgrade.Committed}, -1)
	}
	if isEnd(err) {
		return errEnded
	}
	return err
}

// takeBack has this process have again what only one can have.
func (h *Handover) takeBack() {
	h.Unlet()
	if err := h.Leases.Resume(); err != nil {
		h.Log.Error("the leases cannot be opened again after an upgrade that has failed: they are lost when the relay is started again", "error", err)
	}
}

// send sends the estate.
func (h *Handover) send(link *upgrade.Link, links paused) error {
	for name, l := range h.Listeners {
		if err := sendShared(link, upgrade.Message{Kind: upgrade.Listener, Name: name}, l); err != nil {
			return fmt.Errorf("handing over %s: %w", name, err)
		}
	}
	holders := make(map[server.Predecessor]int)
	for i, e := range links {
		holders[e] = i + 1
		if err := sendShared(link, upgrade.Message{Kind: upgrade.Older, PID: e.pid}, e.link); err != nil {
			return err
		}
	}
	estate := h.Server.Estate()
	for _, p := range estate.Ports {
		if err := sendPort(link, p, holders); err != nil {
			return fmt.Errorf("handing over port %d: %w", p.Number, err)
		}
	}
	for _, q := range estate.Quarantined {
		if err := link.Send(upgrade.Message{Kind: upgrade.Quarantine, Port: q.Port, Owner: q.Owner, Until: q.Until}, -1); err != nil {
			return err
		}
	}
	for _, b := range estate.Bans {
		if err := link.Send(upgrade.Message{Kind: upgrade.Ban, Source: b.Source, Until: b.Until}, -1); err != nil {
			return err
		}
	}
	return link.Send(upgrade.Message{Kind: upgrade.Complete}, -1)
}

func sendShared(link *upgrade.Link, m upgrade.Message, l Sharer) error {
	fd, err := l.Share()
	if err != nil {
		return err
	}
	defer upgrade.CloseFD(fd)
	return link.Send(m, fd)
}

// nobody is the holder of a port that nobody serves.
const nobody = -1

func sendPort(link *upgrade.Link, p server.EstatePort, holders map[server.Predecessor]int) error {
	m := upgrade.Message{Kind: upgrade.Port, Port: p.Number, Owner: p.Owner, Paused: p.Paused, Holder: nobody}
	if p.Served {
		m.Holder = holders[p.Holder] // or 0, which is this process
	}
	if p.Lease != nil {
		m.Lease = leaseMessage(*p.Lease)
	}
	if err := sendMaybeShared(link, m, p.Listener); err != nil || p.Lease == nil {
		return err
	}
	for _, f := range p.Lease.Fences {
		is := &upgrade.Fence{Key: f.Key[:], Served: f.Served, Instance: f.Instance, Superseded: f.Superseded}
		if err := link.Send(upgrade.Message{Kind: upgrade.Fencing, Port: p.Number, Fence: is}, -1); err != nil {
			return err
		}
	}
	return nil
}

// sendMaybeShared sends a message, with the descriptor of a listener if there is one.
func sendMaybeShared(link *upgrade.Link, m upgrade.Message, l conn.Listener) error {
	if s, ok := l.(Sharer); ok {
		return sendShared(link, m, s)
	}
	return link.Send(m, -1)
}

func leaseMessage(p lease.Passed) *upgrade.Lease {
	m := &upgrade.Lease{
		Key: p.Key[:], Name: p.Name, Identity: p.Identity, Group: p.Group, Until: p.Until, Ephemeral: p.Ephemeral,
	}
	for _, before := range p.Places()[1:] {
		m.Before = append(m.Before, upgrade.Place{Port: before.Port, Until: before.Until})
	}
	return m
}

// paused are links to predecessors that nobody listens to at the moment.
type paused []*elder

func (p paused) resume() {
	for _, e := range p {
		e.resume()
	}
}

func (p paused) leave() {
	for _, e := range p {
		e.leave()
	}
}

// Shared is a listener of the net package.
type Shared struct{ Conn syscall.Conn }

// Share returns a further descriptor of the listener.
func (s Shared) Share() (fd int, err error) { return upgrade.Share(s.Conn) }
