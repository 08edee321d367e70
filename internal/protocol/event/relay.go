package event

import (
	"fmt"
	"sync"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// Relay is the relay's half, with the ids that users wait for. Make it with NewRelay.
type Relay struct {
	config Config

	mu      sync.Mutex // guards what follows
	pending map[wire.Key]*opening
}

var (
	_ protocol.Relay  = (*Relay)(nil)
	_ protocol.Knower = (*Relay)(nil)
)

// Config sets up a Relay. The zero value is fine.
type Config struct {
	// MaxPending bounds the ids of one session that its relay client has not read yet.
	// Zero means 256.
	MaxPending int
	// Served remembers the ids of users who do not wait any more. Nil forgets them.
	Served protocol.Recent
}

// NewRelay returns a Relay at which no user waits.
func NewRelay(config Config) *Relay {
	if config.MaxPending == 0 {
		config.MaxPending = 256
	}
	if config.Served == nil {
		config.Served = protocol.Forget{}
	}
	return &Relay{config: config, pending: make(map[wire.Key]*opening)}
}

// Verb returns event's.
func (*Relay) Verb() wire.Verb { return verb }

// Register makes conn the control connection of a session.
func (r *Relay) Register(conn conn.Conn, g protocol.Grant) (protocol.Session, error) {
	if err := wire.WriteAnswer(conn, g.Answer, ""); err != nil {
		_ = conn.Reset()
		return nil, fmt.Errorf("announcing the port: %w", err)
	}
	protocol.AlwaysRead(conn, userTimeout)
	return newSession(r, conn, g.Owner), nil
}

// Claim hands conn to the user who waits for id.
func (r *Relay) Claim(conn conn.Conn, owner, id string) error {
	o, err := r.removeClaimed(wire.KeyOf(owner, id))
	if err != nil {
		_ = conn.Reset()
		return err
	}
	o.session.pending.Add(-1)
	o.Deliver(conn)
	return nil
}

// Knows is protocol.Knower's.
func (r *Relay) Knows(key wire.Key) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pending[key] != nil || r.config.Served.Contains(key)
}

// addPending has the connection of owner's that claims the key of o go there.
func (r *Relay) addPending(o *opening) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending[o.key] = o
}

// removeClaimed is removePending for a claim, or returns why the claim gets nobody. The
// user of a session that has ended is not a claim's any more, but goes on to the next
// session: Wait removes what waits.
func (r *Relay) removeClaimed(key wire.Key) (*opening, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.pending[key]
	switch {
	case o != nil && o.session.ended.Err() != nil, o == nil && r.config.Served.Contains(key):
		return nil, protocol.ErrLate
	case o == nil:
		return nil, protocol.ErrUnknownID
	}
	return r.removePendingLocked(key), nil
}

// removePending ends the wait for an id. It returns what waits to its first caller only:
// the claim, or the user who gives up.
func (r *Relay) removePending(key wire.Key) *opening {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.removePendingLocked(key)
}

func (r *Relay) removePendingLocked(key wire.Key) *opening {
	o := r.pending[key]
	if o != nil {
		delete(r.pending, key)
		r.config.Served.Add(key)
	}
	return o
}
