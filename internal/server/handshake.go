package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/sockerr"
	"github.com/seed96252745/relay/internal/wire"
)

// startHandshake answers a connection. It runs where all others are accepted: a panic ends
// this one. A claim that has come already takes no goroutine, and no slot among the handshakes
// that are waited for; it does not pass by a source that is banned, though.
func (s *Server) startHandshake(c conn.Conn) {
	s.start(c, func() bool {
		return !s.config.Load().Encrypted && !s.admission.MayBeBanned(c.RemoteAddr()) && s.claimNow(c)
	}, (*handshake).answer)
}

// start has a goroutine answer a connection, unless now has, which does not wait.
func (s *Server) start(c conn.Conn, now func() bool, answer func(*handshake)) {
	if !s.trackHandshake() {
		_ = c.Reset()
		return
	}
	if !s.answerSoon(c, now, answer) {
		s.handshakes.Done()
	}
}

// answerSoon has a goroutine answer a connection that is counted, and ends the count then.
// It reports false if now has answered it, or it was reset.
func (s *Server) answerSoon(c conn.Conn, now func() bool, answer func(*handshake)) (soon bool) {
	defer s.resetOnPanic(c)
	if conn.ComesFrom(c, s.config.Load().ControlProxies) {
		s.startProxied(c, answer)
		return true
	}
	if now() {
		return false
	}
	h := &handshake{Server: s, conn: c}
	if !h.admit() {
		return false
	}
	go func() {
		defer s.handshakes.Done()
		answer(h)
	}()
	return true
}

// handshake is a connection to the control port whose request is not answered yet.
type handshake struct {
	*Server
	conn   conn.Conn // with TLS, once that is spoken
	slot   *admission.Slot
	banned bool // the source, which may only be told so
	req    wire.Request
	under  *Config // by which the request is read and judged: what is in force may change meanwhile
}

// source returns who the connection comes from. Limits for each source do not hold for a
// peer that is a proxy: what one of those behind it does is not the others' fault. They
// hold for the peer that a load balancer has named.
func (h *handshake) source() admission.Source {
	return h.admission.SourceOf(h.conn.RemoteAddr(), conn.Named(h.conn))
}

// admit admits a connection that has yet to send its request, or resets it. It reports
// whether answer has to follow.
func (h *handshake) admit() bool {
	source, expected := h.source(), 0
	if !source.IsShared() {
		expected = h.endpoints.ExpectedClaims(source)
	}
	reset := h.conn.Reset // of the connection itself, whatever it carries by then
	h.slot, h.banned = h.admission.AdmitHandshake(h.conn.RemoteAddr(), source, expected, func() { _ = reset() })
	if h.slot == nil {
		_ = h.conn.Reset()
	}
	return h.slot != nil
}

// answer reads what an admitted connection asks for, and answers it. A connection that
// sends no request is closed without a word.
func (h *handshake) answer() {
	defer h.slot.Release()
	defer h.resetOnPanic(h.conn)
	// It took a moment to get here. Waiting is dear, and that has often been enough.
	if !h.banned && !h.config.Load().Encrypted && h.readClaimNow() {
		if h.slot.Release() {
			h.refused(h.claim())
		}
		return
	}
	raw := h.conn
	defer context.AfterFunc(h.endpoints.Closed(), func() { _ = raw.Reset() })()
	h.under = h.config.Load()
	_ = h.conn.SetDeadline(time.Now().Add(h.under.Limits.HandshakeTimeout)) // fails as the read does
	switch {
	case h.enterFront():
	case !h.readRequest():
	case h.banned, h.admission.Bans.Has(h.conn.RemoteAddr()): // perhaps since the connection was admitted
		h.refuseBanned()
	case h.req.IsClaim():
		_ = h.conn.SetWriteDeadline(noDeadline)
		h.refused(h.claim())
	default:
		h.refused(h.register())
	}
}

// readRequest reads the request, with TLS if that is spoken, and reports whether there is
// one. If it does not come in time, or is none, the connection is closed. What is left of
// the time bounds what is written next.
func (h *handshake) readRequest() bool {
	carried, err := h.under.Secure(h.conn)
	if err == nil {
		h.conn = carried
		h.req, err = wire.ReadRequest(wire.NewReader(carried), h.verbs)
	}
	if !h.slot.Release() {
		return false // it was reset
	}
	if err != nil {
		kind, reason := notRequest(err)
		h.admission.Counters.Add(kind)
		h.events.Observe(observe.Event{
			Name: observe.HandshakeFailed, Level: slog.LevelDebug,
			Tunnel: observe.Tunnel{RelayClient: h.conn.RemoteAddr()}, Reason: reason, Err: err,
		})
		_ = h.conn.Close()
		return false
	}
	if err := h.conn.SetReadDeadline(noDeadline); err != nil {
		_ = h.conn.Reset()
		h.refused(err)
		return false
	}
	return true
}

// notRequest returns what is counted for a connection that could not be read, and why.
func notRequest(err error) (admission.Kind, observe.Reason) {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return admission.HandshakeTimeouts, observe.HandshakeTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), sockerr.Is(err, syscall.ECONNRESET):
		return admission.HandshakeEnds, observe.HandshakeEnded
	}
	return admission.NotRequests, observe.NotARequest
}

// readClaimNow reads a claim that has come already, and reports whether there is one.
func (h *handshake) readClaimNow() (ok bool) {
	h.req, ok = wire.TryReadClaim(h.conn, h.verbs)
	return ok
}

// claimNow answers a connection if it is a claim, and all of it has come. It is on the way
// of each user whose relay client makes data connections, so it starts no goroutine.
func (s *Server) claimNow(c conn.Conn) (answered bool) {
	h := handshake{Server: s, conn: c}
	if answered = h.readClaimNow(); answered {
		h.refused(h.claim())
	}
	return answered
}

// claim hands on a connection that has no deadline. It has to be of the relay client that
// has registered: each claim shows the token again.
func (h *handshake) claim() error {
	said, err := wire.ParsePreamble(h.req.Options)
	if err != nil {
		_ = h.conn.Reset()
		return err
	}
	identity, err := h.config.Load().Identify(h.conn, said.Token)
	if err != nil {
		_ = h.conn.Reset()
		if errors.Is(err, auth.ErrUnauthorized) {
			_ = h.admission.PenalizeToken(h.source(), said.Token) // a claim gets no answer, late or not
		}
		return err
	}
	p := h.protocols[h.req.Verb]
	if h.succession.concerns() && !knows(p, wire.KeyOf(identity.Name, h.req.ID)) {
		h.claimElsewhere(identity.Name)
		return nil
	}
	return p.Claim(h.conn, identity.Name, h.req.ID)
}

// resetOnPanic is deferred where a panic would end more than one connection.
func (s *Server) resetOnPanic(c conn.Conn) {
	if e := crash.Caught(recover()); e != nil {
		s.endpoints.Crashed(e)
		_ = c.Reset()
	}
}

// refused counts what became of a request, and tells of it, unless err is nil.
func (h *handshake) refused(err error) {
	if err == nil {
		return
	}
	source := h.source()
	switch {
	case errors.Is(err, protocol.ErrUnknownID), errors.Is(err, protocol.ErrNoClaims):
		h.admission.Counters.Add(admission.WrongClaims)
		h.admission.Penalize(source, admission.WrongID)
	case errors.Is(err, protocol.ErrLate), errors.Is(err, protocol.ErrTunnelEnded):
		h.admission.Counters.Add(admission.LateClaims)
	case errors.Is(err, protocol.ErrFull):
		h.admission.Counters.Add(admission.Idle)
	}
	h.endpoints.Crashed(err)
	refused := observe.Event{
		Name: observe.RequestRefused, Source: source.Prefix(), Claim: h.req.IsClaim(), Err: err,
		Tunnel: observe.Tunnel{Protocol: h.req.Verb.Name, RelayClient: h.conn.RemoteAddr()},
	}
	if errors.Is(err, errSuperseded) {
		refused.Level = slog.LevelDebug // it stands by for days, and asks every few seconds
	}
	if told := new(wire.Refusal); errors.As(err, &told) {
		refused.Code = told.Code
	} else {
		refused.Because(err)
	}
	h.events.Observe(refused)
}

// refuseBanned answers the request of a source that is banned. A registration is told why.
// A claim is reset, and nobody looks for its id: in place of an answer it would get a
// user's bytes.
func (h *handshake) refuseBanned() {
	if h.req.IsClaim() {
		_ = h.conn.Reset()
		return
	}
	ban, why := h.admission.Banned(h.source()), "too many ids or tokens have come from it that nobody has here"
	if until := h.admission.Bans.Until(h.conn.RemoteAddr()); !until.IsZero() {
		ban, why = time.Until(until), "the operator of this relay wants it so"
	}
	_ = h.refuse(&wire.Refusal{Code: wire.CodeShutOut, Text: fmt.Sprintf(
		"your address is shut out for %v more: %s", max(ban, time.Second).Round(time.Second), why)})
}

// noDeadline is what ends a deadline.
var noDeadline time.Time
