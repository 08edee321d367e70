package sshd

import (
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/observe"
)

// clients are the connections of a front that were let in, and the forwards by their public
// ports. Its methods may be called concurrently.
type clients struct {
	mu     sync.Mutex // guards what follows
	all    map[*connection]struct{}
	crowd  crowd
	byPort map[int]*forward
}

func newClients() *clients {
	return &clients{all: make(map[*connection]struct{}), byPort: make(map[int]*forward)}
}

func (c *clients) add(client *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[client] = struct{}{}
	c.crowd.add()
}

func (c *clients) remove(client *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, client)
}

// of returns the connections of the same owner.
func (c *clients) of(who *whois) (all []*connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for client := range c.all {
		if client.who == who || who.same(client.who) {
			all = append(all, client)
		}
	}
	return all
}

// same reports whether both are known to be the same owner.
func (w *whois) same(other *whois) bool {
	return w.Name != "" && w.Name == other.Name || w.Name == "" && other.Name == "" && w.key != "" && w.key == other.key
}

func (c *clients) serve(f *forward) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byPort[f.port] = f
}

func (c *clients) stop(f *forward) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byPort[f.port] == f {
		delete(c.byPort, f.port)
	}
}

func (c *clients) at(port int) *forward {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byPort[port]
}

// Observe has people see what happens to their users.
func (f *Front) Observe(e observe.Event) {
	if e.User == nil || e.Tunnel.Port == 0 {
		return
	}
	to := f.clients.at(e.Tunnel.Port)
	if to == nil {
		return
	}
	switch e.Name {
	case observe.UserJoined:
		to.users.Add(1)
	case observe.UserDone:
		to.users.Add(-1)
	}
	to.connection.show(e)
}

// show shows an event on all terminals.
func (c *connection) show(e observe.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for t := range c.terminals {
		if line := t.page.event(e, time.Now()); line != "" {
			t.tell(line)
		}
	}
}

// announce tells of a forward.
func (c *connection) announce(f *forward) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for t := range c.terminals {
		t.tell(t.page.forward(f.about()))
	}
}
