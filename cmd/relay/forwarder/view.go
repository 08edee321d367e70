package forwarder

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/seed96252745/relay/internal/admin"
	"github.com/seed96252745/relay/internal/api"
)

var _ admin.Node = (*Node)(nil)

// Status returns how the forwarder does, with all services summed up.
func (n *Node) Status() api.Status {
	seen := n.look()
	states := seen.states
	status := api.Status{
		Kind: api.Forwarder, Version: n.config.Version, Started: n.started.UTC(), Now: time.Now().UTC(), Draining: len(states) > 0,
		Connections: seen.past.connections, Received: seen.past.received, Sent: seen.past.sent,
	}
	for i := range states {
		s := &states[i]
		status.Users, status.Waiting = status.Users+s.Users, status.Waiting+s.Waiting
		status.Connections, status.Received, status.Sent = status.Connections+s.Connections, status.Received+s.Received, status.Sent+s.Sent
		switch {
		case s.Draining:
			continue
		case s.Registered:
			status.Tunnels++
		default:
			status.Away++
		}
		status.Control, status.Draining = s.Relay, false // which all have in common, but for those that drain
	}
	if len(states) > 0 && status.Control == "" {
		status.Control = states[0].Relay
	}
	status.Problems = n.problems(&seen)
	return status
}

// Tunnels returns the services, by their numbers: those of the start are in the order of the
// file.
func (n *Node) Tunnels() []api.Tunnel {
	all := []api.Tunnel{}
	for _, s := range n.all() {
		all = append(all, s.tunnel())
	}
	return all
}

// Users returns joined users.
func (n *Node) Users(tunnel string, limit int) []api.User {
	all := []api.User{}
	for _, s := range n.all() {
		if tunnel == "" || tunnel == api.TunnelID(s.id) {
			all = append(all, s.users(limit)...)
		}
	}
	slices.SortStableFunc(all, func(a, b api.User) int { return a.Since.Compare(b.Since) })
	return all[:min(limit, len(all))]
}

// Ended returns the last connections that are over, also of services that are gone.
func (n *Node) Ended(tunnel string, limit int) []api.Ended {
	if tunnel == "" {
		return n.history.Ended(0, limit)
	}
	number, ok := api.ParseTunnelID(tunnel)
	if !ok {
		return []api.Ended{}
	}
	return n.history.Ended(number, limit)
}

// Refusals returns what the relay has refused.
func (n *Node) Refusals(limit int) []api.Refusal { return n.history.Refusals(limit) }

// Causes returns what has ended connections, and what was refused, in the last hour.
func (n *Node) Causes() api.Causes { return n.history.Causes() }

// EndUser resets a user's connection.
func (n *Node) EndUser(id string) error {
	number, ok := api.ParseUserID(id)
	if ok && slices.ContainsFunc(n.all(), func(s *service) bool { return s.forwarder.EndUser(number) }) {
		return nil
	}
	return admin.ErrUnknown
}

// Pause has new users of a service reset.
func (n *Node) Pause(id string) error {
	s, err := n.find(id)
	if err == nil {
		s.forwarder.Pause()
	}
	return err
}

// Resume ends Pause.
func (n *Node) Resume(id string) error {
	s, err := n.find(id)
	if err == nil {
		s.forwarder.Resume()
	}
	return err
}

// CloseTunnel returns an error: the service ends with its process.
func (n *Node) CloseTunnel(id string) error {
	if _, err := n.find(id); err != nil {
		return err
	}
	return unsupported("a service ends with its forwarder: shut that down")
}

// Ban returns an error: a forwarder says with --deny whom it does not want.
func (*Node) Ban(netip.Prefix, time.Duration) error {
	return unsupported("the relay bans sources; a forwarder has --deny")
}

// Unban returns an error: nobody is banned.
func (*Node) Unban(netip.Prefix) error { return unsupported("the relay bans sources") }

// Bans returns none.
func (*Node) Bans() []api.Ban { return []api.Ban{} }

// NewToken returns an error: tokens are the relay's.
func (*Node) NewToken(string) (secret, line string, err error) {
	return "", "", unsupported("tokens are made at the relay")
}

// unsupported returns an admin.ErrUnsupported with what to do instead.
func unsupported(instead string) error { return fmt.Errorf("%w: %s", admin.ErrUnsupported, instead) }

// Reload reads the tokens again. Services that are not registered try at once.
func (n *Node) Reload() error {
	var errs []error
	for _, s := range n.staying() {
		if err := s.forwarder.Reload(); err != nil {
			errs = append(errs, named(s.now.Load().Name, err))
		}
	}
	return errors.Join(errs...)
}

// Drain begins a graceful end.
func (n *Node) Drain() { n.config.Drain() }

// LogValue returns what an operator asks for with a signal: of each service, under its name,
// or of the only one.
func (n *Node) LogValue() slog.Value {
	all := n.Tunnels()
	if len(all) == 1 {
		return slog.GroupValue(logAttrs(&all[0])...)
	}
	var attrs []slog.Attr
	for i := range all {
		attrs = append(attrs, slog.Attr{Key: cmp.Or(all[i].Service, all[i].ID), Value: slog.GroupValue(logAttrs(&all[i])...)})
	}
	return slog.GroupValue(attrs...)
}

func logAttrs(t *api.Tunnel) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("state", string(t.State)), slog.String("since", t.Since.Format(time.RFC3339)),
		slog.Int("users", t.Users), slog.Int("waiting", t.Waiting),
		slog.Int64("connections", t.Connections), slog.Int64("received", t.Received), slog.Int64("sent", t.Sent),
	}
	if t.Error != "" {
		attrs = append(attrs, slog.String("error", t.Error))
	}
	return attrs
}
