package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/wire"
)

// delayRefusal holds conn, whose token is refused with err, for as long as the limits
// want. It holds no slot of a handshake by now.
func (s *Server) delayRefusal(conn conn.Conn, token string, err error) {
	if !errors.Is(err, ErrUnauthorized) {
		return
	}
	source := s.sourceOf(conn)
	delay := s.admission.PenalizeToken(source, token)
	if delay == 0 || !s.admission.AdmitDelayed(source) {
		return
	}
	defer s.admission.ReleaseDelayed(source)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.draining.Done(): // and when it is closed
	}
	_ = conn.SetWriteDeadline(time.Now().Add(s.config.Limits.HandshakeTimeout)) // fails as the write does
}

// answerBanned answers a connection of a source that is banned. A registration is told why.
// A claim is reset, and nobody looks for its id: in place of an answer it would get a user's bytes.
func (s *Server) answerBanned(conn conn.Conn, slot *admission.Slot) {
	defer s.resetOnPanic(conn)
	source := s.sourceOf(conn)
	defer context.AfterFunc(s.closed, func() { _ = conn.Reset() })()
	carried, req, ok := s.readRequest(conn, slot)
	switch {
	case !ok:
	case req.IsClaim():
		_ = carried.Reset()
	default:
		ban := max(s.admission.Banned(source), time.Second).Round(time.Second)
		_ = s.refuse(carried, &wire.Refusal{Code: wire.CodeShutOut, Text: fmt.Sprintf(
			"your address is shut out for %v more: too many ids or tokens have come from it that nobody has here", ban)})
	}
}
