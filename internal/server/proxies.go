package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/observe"
)

// startProxied has answer answer a connection from a load balancer before the control port. Until
// the load balancer has named the relay client, the connection has a slot among others of
// which that is not known, and then one among those of its source.
func (s *Server) startProxied(c conn.Conn, answer func(*handshake)) {
	h := &handshake{Server: s, conn: c}
	slot := s.admission.AdmitHeader(c.RemoteAddr(), h.source(), func() { _ = c.Reset() })
	go func() {
		defer s.handshakes.Done()
		defer slot.Release()
		defer s.resetOnPanic(c)
		err := h.readHeader()
		if !slot.Release() {
			return // it was reset
		}
		if err != nil {
			h.closeUnnamed(err)
			return
		}
		if h.admit() {
			answer(h)
		}
	}()
}

// readHeader has the connection be one of the relay client's that the load balancer names.
func (h *handshake) readHeader() error {
	raw := h.conn
	defer context.AfterFunc(h.endpoints.Closed(), func() { _ = raw.Reset() })()
	_ = raw.SetReadDeadline(time.Now().Add(h.config.Load().Limits.HandshakeTimeout)) // fails as the read does
	named, err := h.config.Load().Introduce(raw)
	if err == nil {
		h.conn = named
	}
	return err
}

// closeUnnamed closes a connection of which a load balancer has not said whose it is. Most
// are its own, with which it looks whether the relay lives.
func (h *handshake) closeUnnamed(err error) {
	kind, reason := notRequest(err)
	level := slog.LevelDebug
	if kind == admission.NotRequests {
		level, reason = slog.LevelWarn, observe.NoProxyHeader
	}
	h.admission.Counters.Add(kind)
	h.events.Observe(observe.Event{
		Name: observe.ProxyHeaderFailed, Level: level, Source: h.source().Prefix(), Proxy: h.conn.RemoteAddr(), Reason: reason, Err: err,
	})
	_ = h.conn.Close()
}
