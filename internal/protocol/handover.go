package protocol

import (
	"sync"

	"github.com/seed96252745/relay/internal/conn"
)

// Handover hands one connection to one user: to a function, or to a goroutine that waits
// for it. Init has to be called first, and the others may be called concurrently.
type Handover struct {
	mu     sync.Mutex      // guards what follows
	opened func(conn.Conn) // nil once it has been called, or is not to be
	next   chan conn.Conn  // nil as long as opened is not
}

// Init has opened called with the connection. Nil is that somebody waits for it.
func (h *Handover) Init(opened func(conn.Conn)) {
	if h.opened = opened; opened == nil {
		h.next = make(chan conn.Conn, 1)
	}
}

// Deliver hands c over. It may be called once.
func (h *Handover) Deliver(c conn.Conn) {
	h.mu.Lock()
	opened, next := h.opened, h.next
	h.opened = nil
	h.mu.Unlock()
	if opened == nil {
		next <- c // has room for the only one
		return
	}
	opened(c)
}

// Hold has the function not called any more: Next has the connection then. It reports
// false if the function has been called.
func (h *Handover) Hold() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.opened != nil {
		h.opened, h.next = nil, make(chan conn.Conn, 1)
	}
	return h.next != nil
}

// Next returns the channel of the connection, after Hold.
func (h *Handover) Next() <-chan conn.Conn { return h.next }
