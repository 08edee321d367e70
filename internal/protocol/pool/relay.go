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

// Relay is the relay's half, with the pools by their ids. Make it with NewRelay.
type Relay struct {
	watcher tcpstate.Watcher // watches idle connections, as long as there are pools
	config  Config
	idle    atomic.Int64 // idle connections of all pools

	mu    sync.Mutex // guards what follows
	pools map[wire.Key]*session
}

var (
	_ protocol.Relay  = (*Relay)(nil)
	_ protocol.Knower = (*Relay)(nil)
)

// Config sets up a Relay. The zero value is fine.
type Config struct {
	// MaxIdle bounds the idle connections of one pool. Zero means MaxSize.
	MaxIdle int
	// MaxIdleInAll bounds those of all pools together. Zero means no bound.
	MaxIdleInAll int
	// Ended remembers the ids of pools that have ended. Nil forgets them.
	Ended protocol.Recent
}

// NewRelay returns a Relay without pools.
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

// LogValue returns the number of idle connections of all pools.
func (r *Relay) LogValue() slog.Value { return slog.GroupValue(slog.Int64("idle", r.idle.Load())) }

// Usage returns what all pools hold.
func (r *Relay) Usage() protocol.Usage { return protocol.Usage{Idle: int(r.idle.Load())} }

// reserveIdle counts an idle connection, unless there are too many.
func (r *Relay) reserveIdle() bool {
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
	s := newSession(r, lingerOf(g), func() { r.removePool(key) })
	// The id is known before the relay client can use it. The first connection is added
	// only once the answer is written, because a user's bytes must not overtake it.
	r.addPool(key, s)
	if err := wire.WriteAnswer(conn, g.Answer, id); err != nil {
		_ = conn.Reset()
		_ = s.Close()
		return nil, fmt.Errorf("announcing the port: %w", err)
	}
	if err := s.addConn(conn); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// Claim adds conn to owner's pool with this id.
func (r *Relay) Claim(conn conn.Conn, owner, id string) error {
	key := wire.KeyOf(owner, id)
	if s := r.findPool(key); s != nil {
		return s.addConn(conn)
	}
	_ = conn.Reset()
	if r.config.Ended.Contains(key) {
		return protocol.ErrLate
	}
	return protocol.ErrUnknownID
}

// Knows is protocol.Knower's.
func (r *Relay) Knows(key wire.Key) bool {
	return r.findPool(key) != nil || r.config.Ended.Contains(key)
}

func (r *Relay) addPool(key wire.Key, s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pools[key] = s
}

func (r *Relay) findPool(key wire.Key) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pools[key]
}

func (r *Relay) removePool(key wire.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.pools, key)
	r.config.Ended.Add(key)
	if len(r.pools) == 0 {
		r.watcher.Close()
	}
}
