package server_test

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/wire"
)

// mistaken is a relay that is started with one configuration, then with a wrong one,
// twice, and then with the first one again.
type mistaken struct {
	*testing.T
	store  *memory
	right  func(*server.Config)
	wrong  func(*server.Config)
	log    *lockedBuffer // of the mistaken starts
	leases int           // that cannot be opened then
}

func (m mistaken) start(changes ...func(*server.Config)) *relay {
	return start(m.T, append(changes, func(c *server.Config) { c.Leases = m.store })...)
}

// run has before done with the relay as it is to be, and meanwhile with the mistaken
// one. The last relay is as it is to be.
func (m mistaken) run(before, meanwhile func(*relay)) *relay {
	m.Helper()
	r := m.start(m.right)
	before(r)
	r.Close()
	for i := range 2 {
		r = m.start(m.wrong, func(c *server.Config) { c.Logger = slog.New(slog.NewTextHandler(m.log, nil)) })
		if i == 0 && m.log.count(fmt.Sprintf("leases=%d ", m.leases)) != 1 {
			m.Errorf("the log does not say that %d leases cannot be opened:\n%s", m.leases, m.log)
		}
		meanwhile(r)
		r.Close()
	}
	return m.start(m.right)
}

// One mistaken start of a relay, or two, moves nobody's port, whether the owners come
// meanwhile or not. The log says how many ports were not opened, and why.
func TestMistakenStart(t *testing.T) {
	ports := freePorts(t, 8)
	low, high := port.Range{First: ports.First, Last: ports.First + 3}, port.Range{First: ports.First + 4, Last: ports.Last}
	me := auth.Identity{Name: "a"}
	for name, c := range map[string]struct {
		wrong  func(*server.Config)
		leases int
		reason string
		lines  map[string]string // of owners, by what they say meanwhile
	}{
		"with other ports": {
			func(c *server.Config) { c.Ports = high }, 2, "it is none of the public ports ",
			map[string]string{as("1", "1"): as("1", "1"), as("2", "1"): as("2", "1")},
		},
		"without tokens": {
			func(c *server.Config) {
				c.Identify, c.Ports = nil, low
				c.WatchOwner = func(string, int, func(error)) (func(), error) { return nil, errors.New("no tokens") }
			}, 2, `reason=other error="no tokens"`,
			map[string]string{as("1", "1", "+token a"): as("1", "1", "+token a"), as("2", "1", "+token a"): as("2", "1", "+token a")},
		},
	} {
		for _, come := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, owners come %t", name, come), func(t *testing.T) {
				had := make(map[string]int)
				m := mistaken{
					T: t, store: newMemory(), log: new(lockedBuffer), wrong: c.wrong, leases: c.leases,
					right: func(c *server.Config) { c.Ports = low; known(auth.Identity{}, me)(c) },
				}
				r := m.run(func(r *relay) {
					for lines := range c.lines {
						had[lines] = r.own(lines).port
					}
				}, func(r *relay) {
					for lines, meanwhile := range c.lines {
						if come {
							if got := r.own(meanwhile); got.port == had[lines] {
								t.Errorf("a mistaken relay gives port %d", got.port)
							}
						}
						wantRefused(t, had[lines])
					}
				})
				for lines, number := range had {
					if got := r.own(lines); got.port != number {
						t.Errorf("it has port %d, want %d", got.port, number)
					}
				}
				if m.log.count(c.reason) == 0 {
					t.Errorf("the log does not say %q:\n%s", c.reason, m.log)
				}
			})
		}
	}
}

// What could not be opened is not kept for ever.
func TestMistakenStartForTooLong(t *testing.T) {
	ports := freePorts(t, 4)
	low, high := port.Range{First: ports.First, Last: ports.First + 1}, port.Range{First: ports.First + 2, Last: ports.Last}
	m := mistaken{
		T: t, store: newMemory(), log: new(lockedBuffer), leases: 1,
		right: func(c *server.Config) { c.Ports = low },
		wrong: func(c *server.Config) { c.Ports = high },
	}
	r := m.run(func(r *relay) { r.own(as("a", "1")) }, func(r *relay) {
		r.wantSoon("ends that are kept", 1, func() int64 {
			if m.store.of("a").Until.IsZero() {
				return 0
			}
			return 1
		})
	})
	until := m.store.of("a").Until
	r.Close()
	if left := time.Until(until); left <= 0 || left > 5*time.Minute {
		t.Errorf("the lease stands for %v after the relay has ended, want 5 minutes from the first mistaken start on", left)
	}
	l := m.store.of("a")
	l.Until = time.Now().Add(-time.Second)
	_ = m.store.Save(l)
	log := new(lockedBuffer)
	m.start(m.right, func(c *server.Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	if n := log.count(fmt.Sprintf(`event=lease_ended port=%d`, l.Port)); n != 1 || m.store.len() != 0 {
		t.Errorf("%d leases are kept, and the log says\n%s", m.store.len(), log)
	}
}

// A port that a mistaken relay could not open is given to others last, and to nobody
// for the asking but whom the operator has given it. If somebody has it then, it is
// the one's who was there last, and the other one may wait for it.
func TestPortOfWhoCannotHaveIt(t *testing.T) {
	ports := freePorts(t, 2)
	first, second := ports.First, ports.Last
	store := newMemory()
	gone := lease.Lease{Key: lease.KeyOf("a", keyOf("a")), Port: first, Identity: "a", Until: time.Now().Add(time.Hour)}
	_ = store.Save(gone)
	config := func(c *server.Config) { c.Ports, c.Leases = ports, store }
	knows := true
	mistaken := func(c *server.Config) {
		known(auth.Identity{}, only("given", first), auth.Identity{Name: "a"})(c)
		c.WatchOwner = func(name string, _ int, _ func(error)) (func(), error) {
			if name == "a" && !knows {
				return nil, errors.New("a: nobody knows")
			}
			return func() {}, nil
		}
	}
	knows = false
	r := start(t, config, mistaken)
	r.wantRefusal(as("b", "1", fmt.Sprintf("+port %d", first)), wire.CodePortTaken)
	if b := r.own(as("b", "1")); b.port != second {
		t.Errorf("somebody has port %d, want %d", b.port, second)
	}
	r.own(as("given", "1", "+token given", fmt.Sprintf("+port %d", first)))
	r.Close()
	knows = true
	r = start(t, config, mistaken)
	if given := r.own(as("given", "1", "+token given")); given.port != first {
		t.Errorf("who was there last has port %d, want %d", given.port, first)
	}
	r.wantRefusal(as("a", "1", "+token a"), wire.CodeNoPort)
	r.Close()
	if n := store.len(); n != 3 {
		t.Errorf("%d leases are kept, want 3", n)
	}
}

// What was in the way may be put right while the relay runs: an owner that comes then has
// its port, without another start.
func TestMistakeIsPutRight(t *testing.T) {
	store, ports := newMemory(), freePorts(t, 4)
	var gone atomic.Bool
	config := func(c *server.Config) {
		c.Ports, c.Leases = ports, store
		known(auth.Identity{}, auth.Identity{Name: "a"})(c)
		c.WatchOwner = func(string, int, func(error)) (func(), error) {
			if gone.Load() {
				return nil, errors.New("a: nobody knows")
			}
			return func() {}, nil
		}
	}
	r := start(t, config)
	had := r.own(as("a", "1", "+token a"))
	r.Close()
	gone.Store(true)
	r = start(t, config)
	wantRefused(t, had.port)
	gone.Store(false)
	if got := r.own(as("a", "1", "+token a")); got.port != had.port {
		t.Errorf("it has port %d, want %d", got.port, had.port)
	}
	r.Close()
	if l := store.leases[lease.KeyOf("a", keyOf("a"))]; l.Port != had.port || len(l.Places()) != 1 {
		t.Errorf("%+v is kept, want port %d alone", l, had.port)
	}
}

// An owner that comes and cannot have its port, for another reason than the mistake, does
// not give it up by that.
func TestPortIsKeptWhenItsOwnerIsRefused(t *testing.T) {
	store, ports := newMemory(), freePorts(t, 4)
	first := ports.First
	of := lease.Lease{Key: lease.KeyOf("a", keyOf("a")), Port: first, Identity: "a", Until: time.Now().Add(time.Hour)}
	_ = store.Save(of)
	var gone atomic.Bool
	gone.Store(true)
	r := start(t, func(c *server.Config) {
		c.Ports, c.Leases = ports, store
		known(auth.Identity{}, auth.Identity{Name: "a", Tunnels: 1})(c)
		c.WatchOwner = func(string, int, func(error)) (func(), error) {
			if gone.Load() {
				return nil, errors.New("a: nobody knows")
			}
			return func() {}, nil
		}
	})
	gone.Store(false)
	stranger := as("b", "1", fmt.Sprintf("+port %d", first))
	r.wantRefusal(stranger, wire.CodePortTaken)
	other := r.own("+token a\nmultiplex\n") // the only tunnel that it may have
	r.wantRefusal(as("a", "1", "+token a"), wire.CodeLimit)
	r.wantRefusal(stranger, wire.CodePortTaken)
	r.leave(other)
	if got := r.own(as("a", "1", "+token a")); got.port != first {
		t.Errorf("its owner has port %d, want %d", got.port, first)
	}
}
