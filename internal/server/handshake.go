package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/sockerr"
	"github.com/seed96252745/relay/internal/wire"
)

// handshake reads what a connection to the control port wants, and gives it to
// whom it concerns. Whatever is not a request is closed without a word.
func (s *Server) handshake(conn conn.Conn, slot *admission.Slot) {
	defer s.resetOnPanic(conn)
	// It took a moment to get here. Waiting is dear, and that has often been enough.
	if req, ok := s.readClaimNow(conn); ok {
		if s.admission.ReleaseHandshake(slot) {
			s.refused(conn, req, s.claim(conn, req))
		}
		return
	}
	defer context.AfterFunc(s.closed, func() { _ = conn.Reset() })()
	carried, req, ok := s.readRequest(conn, slot)
	switch {
	case !ok:
	case req.IsClaim():
		_ = carried.SetWriteDeadline(noDeadline)
		s.refused(carried, req, s.claim(carried, req))
	default:
		s.refused(carried, req, s.register(carried, req))
	}
}

// readRequest reads what a connection wants, and gives it as it goes on from there: TLS
// if that is spoken. What has not said it in time, or says something else, it closes.
// What is left of the time bounds what is written next.
func (s *Server) readRequest(raw conn.Conn, slot *admission.Slot) (conn conn.Conn, req wire.Request, ok bool) {
	_ = raw.SetDeadline(time.Now().Add(s.config.Limits.HandshakeTimeout)) // fails as the read does
	conn, err := s.config.Secure(raw)
	if err != nil {
		conn = raw
	} else {
		req, err = wire.ReadRequest(wire.NewReader(conn), s.verbs)
	}
	if !s.admission.ReleaseHandshake(slot) {
		return nil, req, false // it was reset
	}
	if err != nil {
		kind, reason := notRequest(err)
		s.admission.Counters.Add(kind)
		s.events.Observe(observe.Event{
			Name: observe.HandshakeFailed, Level: slog.LevelDebug,
			Tunnel: observe.Tunnel{RelayClient: conn.RemoteAddr()}, Reason: reason, Err: err,
		})
		_ = conn.Close()
		return nil, req, false
	}
	if err := conn.SetReadDeadline(noDeadline); err != nil {
		_ = conn.Reset()
		s.refused(conn, req, err)
		return nil, req, false
	}
	return conn, req, true
}

// readClaimNow reads a claim that has come already, if it may come so.
func (s *Server) readClaimNow(conn conn.Conn) (wire.Request, bool) {
	if s.config.Encrypted {
		return wire.Request{}, false
	}
	return wire.TryReadClaim(conn, s.verbs)
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

// claimNow answers conn if it is a claim, and all of it has come.
func (s *Server) claimNow(conn conn.Conn) (answered bool) {
	defer s.resetOnPanic(conn)
	req, answered := wire.TryReadClaim(conn, s.verbs)
	if answered {
		s.refused(conn, req, s.claim(conn, req))
	}
	return answered
}

// resetOnPanic is deferred where a panic would end more than one connection.
func (s *Server) resetOnPanic(conn conn.Conn) {
	if e := crash.Caught(recover()); e != nil {
		s.crashed(e)
		_ = conn.Reset()
	}
}

// crashed counts and logs err if it comes from a panic, once.
func (s *Server) crashed(err error) {
	var e *crash.Error
	if errors.As(err, &e) && e.First() {
		s.admission.Counters.Add(admission.Panics)
		s.events.Observe(observe.Event{Name: observe.Panicked, Level: slog.LevelError, Err: e})
	}
}

// refused counts and logs what became of a request, unless err is nil.
func (s *Server) refused(conn conn.Conn, req wire.Request, err error) {
	if err == nil {
		return
	}
	source := s.sourceOf(conn)
	switch {
	case errors.Is(err, protocol.ErrUnknownID), errors.Is(err, protocol.ErrNoClaims):
		s.admission.Counters.Add(admission.WrongClaims)
		s.admission.Penalize(source, admission.WrongID)
	case errors.Is(err, protocol.ErrLate), errors.Is(err, protocol.ErrTunnelEnded):
		s.admission.Counters.Add(admission.LateClaims)
	case errors.Is(err, protocol.ErrFull):
		s.admission.Counters.Add(admission.Idle)
	}
	s.crashed(err)
	refused := observe.Event{
		Name: observe.RequestRefused, Source: source.Prefix(), Claim: req.IsClaim(), Err: err,
		Tunnel: observe.Tunnel{Protocol: req.Verb.Name, RelayClient: conn.RemoteAddr()},
	}
	if errors.Is(err, errSuperseded) {
		refused.Level = slog.LevelDebug // it stands by for days, and asks every few seconds
	}
	if told := new(wire.Refusal); errors.As(err, &told) {
		refused.Code = told.Code
	} else {
		refused.Reason = observe.ReasonOf(err)
	}
	s.events.Observe(refused)
}

// claim hands on a connection that has no deadline. It has to be of the one who
// registered: who it is, is asked each time.
func (s *Server) claim(conn conn.Conn, req wire.Request) error {
	said, err := wire.ParsePreamble(req.Options)
	if err != nil {
		_ = conn.Reset()
		return err
	}
	identity, err := s.config.Identify(conn, said.Token)
	if err != nil {
		_ = conn.Reset()
		if errors.Is(err, ErrUnauthorized) {
			_ = s.admission.PenalizeToken(s.sourceOf(conn), said.Token) // a claim gets no answer, late or not
		}
		return err
	}
	return s.protocols[req.Verb].Claim(conn, identity.Name, req.ID)
}

// noDeadline is what ends a deadline.
var noDeadline time.Time
