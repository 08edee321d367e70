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

	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/limit"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/sockerr"
	"github.com/seed96252745/relay/internal/wire"
)

// handshake reads what a connection to the control port wants, and gives it to
// whom it concerns. Whatever is not a request is closed without a word.
func (s *Server) handshake(conn join.Conn, pass *limit.Pass) {
	defer s.resetOnPanic(conn)
	// It took a moment to get here. Waiting is dear, and that has often been enough.
	if req, ok := s.readClaimNow(conn); ok {
		if s.admission.handshakes.Leave(pass) {
			s.refused(conn, req, s.claim(conn, req))
		}
		return
	}
	raw := conn
	defer context.AfterFunc(s.closed, func() { _ = raw.Reset() })()
	_ = conn.SetDeadline(time.Now().Add(s.config.Limits.HandshakeTimeout)) // fails as the read does
	var req wire.Request
	conn, err := s.config.Secure(raw)
	if err != nil {
		conn = raw
	} else {
		req, err = wire.ReadRequest(wire.NewReader(conn))
	}
	if !s.admission.handshakes.Leave(pass) {
		return // it was reset
	}
	if err != nil {
		s.counters.Add(notRequest(err))
		s.log.Debug("connection closed: not a request", "relayClient", inLog{conn.RemoteAddr()}, "error", err)
		_ = conn.Close()
		return
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		_ = conn.Reset()
		s.refused(conn, req, err)
		return
	}
	if req.IsClaim() {
		_ = conn.SetWriteDeadline(time.Time{})
		err = s.claim(conn, req)
	} else {
		err = s.register(conn, req)
	}
	s.refused(conn, req, err)
}

// readClaimNow reads a claim that has come already, if it may come so.
func (s *Server) readClaimNow(conn join.Conn) (wire.Request, bool) {
	if s.config.Encrypted {
		return wire.Request{}, false
	}
	return wire.ReadClaimNow(conn)
}

// notRequest gives what is counted for a connection that could not be read.
func notRequest(err error) limit.Kind {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return limit.HandshakeTimeouts
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), sockerr.Is(err, syscall.ECONNRESET):
		return limit.HandshakeEnds
	}
	return limit.NotRequests
}

// claimNow answers conn if it is a claim, and all of it has come.
func (s *Server) claimNow(conn join.Conn) (answered bool) {
	defer s.resetOnPanic(conn)
	req, answered := wire.ReadClaimNow(conn)
	if answered {
		s.refused(conn, req, s.claim(conn, req))
	}
	return answered
}

// resetOnPanic is deferred where a panic would end more than one connection.
func (s *Server) resetOnPanic(conn join.Conn) {
	if e := crash.Caught(recover()); e != nil {
		s.crashed(e)
		_ = conn.Reset()
	}
}

// crashed counts and logs err if it comes from a panic, once.
func (s *Server) crashed(err error) {
	var e *crash.Error
	if errors.As(err, &e) && e.First() {
		s.counters.Add(limit.Panics)
		s.logAbout(limit.Source{}, slog.LevelError, "panic: this is a bug in Relay; a connection or a tunnel was ended, and the rest goes on",
			"panic", fmt.Sprint(e.Value), "stack", e.Stack)
	}
}

// refused counts and logs what became of a request, unless err is nil.
func (s *Server) refused(conn join.Conn, req wire.Request, err error) {
	if err == nil {
		return
	}
	source := limit.SourceOf(conn.RemoteAddr())
	switch {
	case errors.Is(err, protocol.ErrUnknownID), errors.Is(err, protocol.ErrNoClaims), errors.Is(err, ErrUnauthorized):
		s.wrongClaim(source)
	case errors.Is(err, protocol.ErrLate), errors.Is(err, protocol.ErrTunnelEnded):
		s.counters.Add(limit.LateClaims)
	case errors.Is(err, protocol.ErrFull):
		s.counters.Add(limit.Idle)
	}
	s.crashed(err)
	s.logAbout(source, slog.LevelInfo, "request refused", "relayClient", inLog{conn.RemoteAddr()},
		"protocol", req.Verb, "claim", req.IsClaim(), "error", err)
}

// claim hands on a connection that has no deadline. It has to be of the one who
// registered: who it is, is asked each time.
func (s *Server) claim(conn join.Conn, req wire.Request) error {
	said, err := wire.ParsePreamble(req.Options)
	if err != nil {
		_ = conn.Reset()
		return err
	}
	identity, err := s.config.Identify(conn, said.Token)
	if err != nil {
		_ = conn.Reset()
		return err
	}
	return s.config.Protocols[req.Verb].Claim(conn, identity.Name, req.ID)
}

// noDeadline is what ends a deadline.
var noDeadline time.Time
