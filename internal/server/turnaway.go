package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/wire"
)

// Who is shut out, and registers, is told so. That costs no more than any handshake;
// with one a second from each source it keeps nobody else's place, and a peer that tries
// now and then finds out.
const (
	toldPerSecond = 1
	toldAtOnce    = 3
)

// How many wait for the refusal of a wrong token at a time. Further ones are refused at
// once: that costs the relay least, and somebody who waits is a goroutine and a
// descriptor.
const (
	mostStalled          = 64
	mostStalledPerSource = 8
)

// stalls counts those who wait for a refusal.
type stalls struct {
	all      *number
	bySource *admission.Sources
}

func newStalls() stalls { return stalls{new(number), admission.NewSources(mostStalledPerSource)} }

// offend counts an offense against its source, which may shut it out.
func (s *Server) offend(source admission.Source, what admission.Offense) {
	if source.StandsForMany() {
		return
	}
	if lasts := s.admission.penalties.Wrong(source, what); lasts > 0 {
		s.counters.Add(admission.SourcesShutOut)
		s.logWithin(s.admission.shutLines, source, slog.LevelWarn, "source shut out for a while: too many wrong ids or tokens",
			"source", source.String(), "for", lasts.String())
	}
}

// wrongToken counts a token that is nobody's, which err says, or that there was none,
// and gives for how long the refusal is to wait. A token that comes again is not a
// guess: it is that of a forwarder that nobody has told of the new one.
func (s *Server) wrongToken(source admission.Source, token string, err error) (wait time.Duration) {
	if !errors.Is(err, ErrUnauthorized) {
		return 0
	}
	s.counters.Add(admission.WrongTokens)
	wait, first := s.admission.tokens.Again(token)
	if first {
		s.offend(source, admission.WrongToken)
	}
	return wait
}

// stall has conn wait for its refusal, if there is room to wait. It holds no place of a
// handshake by now.
func (s *Server) stall(conn conn.Conn, wait time.Duration) {
	source, waiting := s.sourceOf(conn), s.admission.stalls
	if wait == 0 || !waiting.all.enter(mostStalled) {
		return
	}
	defer waiting.all.leave()
	if !waiting.bySource.Enter(source) {
		return
	}
	defer waiting.bySource.Leave(source)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.draining.Done(): // and when it is closed
	}
	_ = conn.SetWriteDeadline(time.Now().Add(s.config.Limits.HandshakeTimeout)) // fails as the write does
}

// turnAway answers a connection of a source that is shut out. A registration is told why.
// A claim is reset, and nobody looks for its id: in place of an answer it would get a user's bytes.
func (s *Server) turnAway(conn conn.Conn, pass *admission.Pass) {
	defer s.resetOnPanic(conn)
	source := s.sourceOf(conn)
	defer context.AfterFunc(s.closed, func() { _ = conn.Reset() })()
	carried, req, ok := s.readRequest(conn, pass)
	switch {
	case !ok:
	case req.IsClaim():
		_ = carried.Reset()
	default:
		lasts := max(s.admission.penalties.ShutOut(source), time.Second).Round(time.Second)
		_ = s.refuse(carried, &wire.Refusal{Code: wire.CodeShutOut, Text: fmt.Sprintf(
			"your address is shut out for %v more: too many ids or tokens have come from it that nobody has here", lasts)})
	}
}
