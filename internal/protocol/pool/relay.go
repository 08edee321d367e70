package pool

import (
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/tcpstate"
	"github.com/seed96252745/relay/internal/wire"
)

// Relay is the relay's half: it knows the pools by their ids. Make it with
// NewRelay.
type Relay struct {
	watcher tcpstate.Watcher // of connections that wait, as long as there are pools
	config  Config
	idle    atomic.Int64 // connections that wait, in all pools

	mu    sync.Mutex // guards what follows
	pools map[wire.Key]*session
}

var _ protocol.Relay = (*Relay)(nil)

// Config sets up a Relay. The zero value is fine.
type Config struct {
	// MaxIdle is how many connections may wait for users in one pool. Zero means
	// MaxSize.
	MaxIdle int
	// MaxIdleInAll bounds those of all pools together. Zero is no bound.
	MaxIdleInAll int
	// Ended gets the ids of pools that have ended. Nil forgets them.
	Ended protocol.Recent
}

// NewRelay gives a Relay without pools.
func NewRelay(config Config) *Relay {
	if config.MaxIdle == 0 {
		config.MaxIdle = MaxSize
	}
	if config.MaxIdleInAll == 0 {
		config.MaxIdleInAll = math.MaxInt
	}
	if config.Ended == nil {
		config.Ended = protocol.Forget{}
	}
	return &Relay{config: config, pools: make(map[wire.Key]*session)}
}

// LogValue returns how many connections wait for users, in all pools.
func (r *Relay) LogValue() slog.Value { return slog.GroupValue(slog.Int64("idle", r.idle.Load())) }

// takeIdle counts a connection that is to wait, unless there are too many.
func (r *Relay) takeIdle() bool {
	if r.idle.Add(1) > int64(r.config.MaxIdleInAll) {
		r.idle.Add(-1)
		return false
	}
	return true
}

// Verb returns pool's.
func (*Relay) Verb() wire.Verb { return verb }

// Register makes a pool whose first connection is conn.
func (r *Relay) Register(conn conn.Conn, g protocol.Grant) (protocol.Session, error) {
	id := wire.NewID()
	key := wire.KeyOf(g.Owner, id)
	t := newSession(r, lingerOf(g), func() { r.remove(key) })
	// Known before the relay client can know it; usable only once the reply is
	// written, because a user's bytes must not overtake it.
	r.add(key, t)
	if err := wire.WriteAnswer(conn, g.Answer, id); err != nil {
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

// Claim adds conn to the pool of owner's with this id.
func (r *Relay) Claim(conn conn.Conn, owner, id string) error {
	key := wire.KeyOf(owner, id)
	t := r.find(key)
	switch {
	case t != nil:
		return t.add(conn)
	case r.config.Ended.Contains(key):
		_ = conn.Reset()
		return protocol.ErrLate
	}
	_ = conn.Reset()
	return protocol.ErrUnknownID
}

func (r *Relay) add(key wire.Key, t *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pools[key] = t
}

func (r *Relay) find(key wire.Key) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pools[key]
}

func (r *Relay) remove(key wire.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.pools, key)
	r.config.Ended.Add(key)
	if len(r.pools) == 0 {
		r.watcher.Close()
	}
}
