package pool

import (
	"fmt"
	"sync"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/tcpstate"
	"github.com/seed96252745/relay/internal/wire"
)

// Relay is the relay's half: it knows the pools by their ids. Make it with
// NewRelay.
type Relay struct {
	watcher tcpstate.Watcher // of connections that wait, as long as there are pools

	mu    sync.Mutex // guards what follows
	pools map[wire.Key]*tunnel
}

var _ protocol.Relay = (*Relay)(nil)

// NewRelay gives a Relay without pools.
func NewRelay() *Relay { return &Relay{pools: make(map[wire.Key]*tunnel)} }

// Register makes a pool whose first connection is conn.
func (r *Relay) Register(conn join.Conn, port int) (protocol.Tunnel, error) {
	id := wire.NewID()
	key := wire.KeyOf(id)
	t := newTunnel(&r.watcher, func() { r.remove(key) })
	// Known before the relay client can know it; usable only once the reply is
	// written, because a user's bytes must not overtake it.
	r.add(key, t)
	if err := wire.WriteReply(conn, port, id); err != nil {
		_ = conn.Reset()
		_ = t.Close()
		return nil, fmt.Errorf("announcing the port: %w", err)
	}
	if err := t.add(conn); err != nil {
		_ = t.Close()
		return nil, err
	}
	return t, nil
}

// Claim adds conn to the pool with this id.
func (r *Relay) Claim(conn join.Conn, id string) error {
	t := r.find(id)
	if t == nil {
		_ = conn.Reset()
		return protocol.ErrUnknownID
	}
	return t.add(conn)
}

func (r *Relay) add(key wire.Key, t *tunnel) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pools[key] = t
}

func (r *Relay) find(id string) *tunnel {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pools[wire.KeyOf(id)]
}

func (r *Relay) remove(key wire.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.pools, key)
	if len(r.pools) == 0 {
		r.watcher.Close()
	}
}
