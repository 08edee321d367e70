package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/front"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// arrival is a connection that has come to a front.
type arrival struct{ *handshake }

// ServeFront is Serve for a listener that only the front has.
func (s *Server) ServeFront(l conn.Listener) error { return s.serve(l, s.startFront) }

// startFront has the front serve a connection.
func (s *Server) startFront(c conn.Conn) {
	s.start(c, func() bool { return false }, func(h *handshake) {
		defer h.slot.Release()
		defer h.resetOnPanic(h.conn)
		raw := h.conn
		defer context.AfterFunc(h.endpoints.Closed(), func() { _ = raw.Reset() })()
		h.under = h.config.Load()
		_ = h.conn.SetDeadline(time.Now().Add(h.under.Limits.HandshakeTimeout)) // fails as the read does
		h.serveFront(h.under.Front)
	})
}

// enterFront has the front serve a connection that comes to it by its first byte, and reports
// whether it has.
func (h *handshake) enterFront() bool {
	f := h.under.Front
	if f == nil {
		return false
	}
	c, first, err := conn.PeekByte(h.conn)
	if err != nil {
		return false // the read that follows fails likewise
	}
	h.conn = c
	if !f.Speaks(first) {
		return false
	}
	h.serveFront(f)
	return true
}

// Identify returns the identity of a token. One that is nobody's is penalized, and the
// answer is late. The deadline stays: a person may be asked again.
func (h arrival) Identify(token string) (auth.Identity, error) {
	if h.isBanned() { // a guess that is right must not show
		return auth.Identity{}, errBanned
	}
	id, err := h.under.Identify(h.conn, token)
	if err != nil {
		h.penalize(token, err)
	}
	return id, err
}

var errBanned = errors.New("the address is banned")

// isBanned reports whether the address is banned, perhaps since the connection was admitted.
func (h *handshake) isBanned() bool {
	return h.banned || h.admission.Bans.Has(h.conn.RemoteAddr()) || h.admission.Banned(h.source()) > 0
}

// serveFront has the front serve a connection, unless its address is banned or has had too many
// served of late: it costs a stranger nothing to come again, and the relay a key exchange.
func (h *handshake) serveFront(f front.Front) {
	if h.isBanned() || !h.awaitExchange() {
		h.slot.Release()
		_ = h.conn.Reset()
		return
	}
	f.Serve(h.conn, arrival{h})
}

// awaitExchange waits until the source may exchange keys, and reports whether it may.
func (h *handshake) awaitExchange() bool {
	delay, ok := h.admission.AdmitExchange(h.conn.RemoteAddr(), h.source())
	if !ok || delay == 0 {
		return ok
	}
	select {
	case <-time.After(delay):
	case <-h.endpoints.Closed().Done():
		return false
	}
	_ = h.conn.SetDeadline(time.Now().Add(h.under.Limits.HandshakeTimeout)) // fails as the read does
	return true
}

// Identified ends the handshake, with its deadline. It reports false if the connection was
// reset to make room for another one, or the address is banned: the caller closes it.
func (h arrival) Identified() bool {
	if !h.slot.Release() || h.isBanned() {
		return false
	}
	_ = h.conn.SetDeadline(noDeadline) // fails only on a connection that is closed
	return true
}

// Failed counts and tells of a connection that has failed before Identified.
func (h arrival) Failed(err error) {
	if !h.slot.Release() {
		return // it was reset
	}
	kind, reason := notRequest(err)
	h.admission.Counters.Add(kind)
	h.events.Observe(observe.Event{
		Name: observe.HandshakeFailed, Level: slog.LevelDebug,
		Tunnel: observe.Tunnel{RelayClient: h.conn.RemoteAddr()}, Reason: reason, Err: err,
	})
}

// Register gives a relay client a public port. If the port that it asks for is none that this
// relay opens it may be any: programs which speak SSH ask for 80. An error that says why it
// is refused wraps a *wire.Refusal.
func (h arrival) Register(r front.Registration) error {
	h.under = h.config.Load()
	if p := r.Wish.Port; !h.under.Ports.Contains(p) && !r.Identity.Ports.Contains(p) {
		r.Wish.Port = 0
	}
	err := h.registerAtFront(r)
	if err == nil {
		return nil
	}
	if !errors.As(err, new(*wire.Refusal)) {
		err = &refusedError{err, refusalOf(err)}
	}
	h.req.Verb.Name = r.Protocol // which the event has
	h.refused(err)
	return err
}

func (h *handshake) registerAtFront(r front.Registration) error {
	if r.Wish.Group != "" && r.Identity.Name == "" {
		return errStrangersGroup
	}
	if h.endpoints.Draining().Err() != nil || !h.gate.enter(h.endpoints.Closed()) {
		return endpoint.ErrDraining
	}
	defer h.gate.leave()
	a := &applicant{Identity: r.Identity, source: h.source(), wish: r.Wish}
	e, err := h.registrar.endpointFor(a)
	if err != nil {
		return err
	}
	return h.bind(e, a, binding{r.Protocol, true, func(g protocol.Grant) (protocol.Session, error) { return r.Start(g.Answer) }})
}
