package node

import (
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/upgrade"
	"github.com/seed96252745/relay/internal/wire"
)

// Succession is the process that is the relay after this one, as seen from here.
type Succession struct {
	// Told is how many relay clients are told to register with it, and Untold how many
	// cannot be.
	Told, Untold int

	heir    *upgrade.Heir
	server  *server.Server
	log     *slog.Logger
	running sync.WaitGroup
}

var _ server.Successor = (*Succession)(nil)

// PID returns the ID of the process.
func (s *Succession) PID() int { return s.heir.PID() }

// Close ends the link to the process, when the server has been closed.
func (s *Succession) Close() {
	_ = s.heir.SetReceiveDeadline(time.Unix(1, 0))
	s.running.Wait()
	_ = s.heir.Close()
}

// errNotGiven is why a connection cannot be handed to the successor.
var errNotGiven = errors.New("the connection is none that another process can have")

// User is server.Successor's.
func (s *Succession) User(port int, c conn.Conn, first []byte) error {
	m := upgrade.Message{Kind: upgrade.User, Port: port, Read: first}
	m.Remote, m.Local = named(c)
	return s.give(m, c)
}

// Control is server.Successor's.
func (s *Succession) Control(c conn.Conn, read []byte) error {
	m := upgrade.Message{Kind: upgrade.Control, Read: read}
	m.Remote, _ = named(c)
	return s.give(m, c)
}

// give sends a connection. If that fails it is reset.
func (s *Succession) give(m upgrade.Message, c conn.Conn) error {
	fd, ok := transport.Give(c)
	if !ok {
		_ = c.Reset()
		return errNotGiven
	}
	defer upgrade.CloseFD(fd) // which resets it if nobody else has it
	return s.heir.Send(m, fd)
}

// Left is server.Successor's.
func (s *Succession) Left(port int, owner string) {
	_ = s.heir.Send(upgrade.Message{Kind: upgrade.Left, Port: port, Owner: owner}, -1) // fails once it is gone
}

// listen takes what the successor says, until its end.
func (s *Succession) listen() {
	for {
		m, fd, err := s.heir.Receive()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded): // by Close
			return
		case errors.Is(err, upgrade.ErrLost): // it costs one user
			continue
		case err != nil:
			s.log.Warn("the process that has taken over has ended: users who wait here are reset", "error", err)
			return
		}
		switch m.Kind {
		case upgrade.Served:
			s.running.Go(func() { s.server.HandOverPort(m.Port, m.Instance) })
		case upgrade.Ask:
			yes := len(m.Key) == len(wire.Key{}) && s.server.Knows(m.Verb, wire.Key(m.Key))
			_ = s.heir.Send(upgrade.Message{Kind: upgrade.Known, Seq: m.Seq, Yes: yes}, -1) // fails as Receive does
		case upgrade.Claim:
			if c := adopt(fd, m.Remote); c != nil {
				s.server.TakeClaim(m.Verb, m.Owner, m.ID, c)
			}
		default:
			upgrade.CloseFD(fd)
		}
	}
}
