package server

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/sockerr"
	"github.com/seed96252745/relay/internal/wire"
)

// register gives the relay client a public port, and tells it.
func (s *Server) register(conn conn.Conn, req wire.Request) error {
	t, p, err := s.prepare(conn, req)
	if err != nil {
		return s.refuse(conn, err)
	}
	kept := false
	defer func() { // also when the protocol panics
		if kept {
			return
		}
		p.endIfUnserved(errNotTold)
		if t.kill != nil {
			t.kill(nil) // or the server's context would hold it
		}
	}()
	answer := wire.Answer{Port: p.number}
	if p.lease != nil {
		answer.Lease = p.lease.TTL
	}
	t.session, err = s.protocols[req.Verb].Register(conn, protocol.Grant{Answer: answer, Owner: t.identity.Name})
	if err != nil {
		return err
	}
	_ = conn.SetWriteDeadline(noDeadline) // what is left of the handshake's
	if err := s.startTunnel(t); err != nil {
		_ = t.session.Close()
		return err
	}
	kept = true
	return nil
}

// prepare finds out who registers, and for which port.
func (s *Server) prepare(conn conn.Conn, req wire.Request) (*tunnel, *publicPort, error) {
	wish, err := wire.ParsePreamble(req.Options)
	if err != nil {
		return nil, nil, err
	}
	identity, err := s.config.Identify(conn, wish.Token)
	if err != nil {
		s.delayRefusal(conn, wish.Token, err)
		return nil, nil, err
	}
	if s.draining.Err() != nil {
		return nil, nil, errDraining
	}
	p, err := s.portFor(identity, s.sourceOf(conn), wish)
	if err != nil {
		return nil, nil, err
	}
	t := &tunnel{
		port:     p,
		alive:    s.closed,
		asked:    wish.Policy.Within(identity.Policy),
		source:   s.sourceOf(conn),
		verb:     req.Verb.Name,
		client:   conn.RemoteAddr(),
		identity: identity,
		since:    time.Now(),
		instance: wish.Instance,
		name:     wish.Name,
		proxy:    wish.Proxy,
	}
	if identity.Watch != nil {
		t.alive, t.kill = context.WithCancelCause(s.closed)
	}
	return t, p, nil
}

// Why there is no port, or not any more.
var (
	errForbiddenPort = errors.New("may not ask for port")
	errSuperseded    = errors.New("another relay client with the same lease key has taken over from this one, and is there")
	errMoved         = observe.WithReason(errors.New("its owner has moved to another port"), observe.LeaseMoved)
	errEvicted       = observe.WithReason(errors.New("its address has other tunnels by now, as many as it may"), observe.LeaseEvicted)
	errNotOpen       = errors.New("your port is not open yet, as another program has it; the relay tries on, so try again")
	errNotTold       = observe.WithReason(errors.New("the relay client could not be told"), observe.AnswerFailed)
)

// refuse tells a relay client why it is not registered.
func (s *Server) refuse(conn conn.Conn, reason error) error {
	refusal := s.explain(reason)
	err := wire.WriteRefusal(conn, refusal)
	_ = conn.Close()
	if told := new(wire.Refusal); !errors.As(reason, &told) {
		reason = fmt.Errorf("%w (%s)", reason, refusal.Code)
	}
	if err != nil {
		return fmt.Errorf("%w; telling so: %w", reason, err)
	}
	return reason
}

// explain says what to tell a relay client. What it does not know is the relay's
// own trouble, and nobody else's business.
func (s *Server) explain(err error) *wire.Refusal {
	var refusal *wire.Refusal
	var unknown *wire.UnknownOptionError
	var bad *wire.OptionError
	switch {
	case errors.As(err, &refusal):
		return refusal
	case errors.As(err, &unknown):
		return &wire.Refusal{Code: wire.CodeUnknownOption, Text: unknown.Text}
	case errors.As(err, &bad):
		return &wire.Refusal{Code: wire.CodeBadOption, Text: bad.Error()}
	case errors.Is(err, errDraining):
		return &wire.Refusal{Code: wire.CodeDraining, Text: errDraining.Error()}
	case errors.Is(err, admission.ErrTunnelsPerSource), errors.Is(err, admission.ErrTunnelsPerNetwork), errors.Is(err, admission.ErrTunnelsPerIdentity):
		return &wire.Refusal{Code: wire.CodeLimit, Text: err.Error()}
	case errors.Is(err, errForbiddenPort):
		return &wire.Refusal{Code: wire.CodeForbidden, Text: err.Error()}
	case errors.Is(err, errSuperseded):
		return &wire.Refusal{Code: wire.CodeSuperseded, Text: err.Error()}
	case errors.Is(err, lease.ErrNameTaken):
		return &wire.Refusal{Code: wire.CodeNameTaken, Text: err.Error()}
	case errors.Is(err, lease.ErrPortTaken), sockerr.Is(err, syscall.EADDRINUSE):
		return &wire.Refusal{Code: wire.CodePortTaken, Text: "somebody else has this port"}
	case errors.Is(err, errNotOpen):
		return &wire.Refusal{Code: wire.CodeNotOpen, Text: err.Error()}
	case errors.Is(err, lease.ErrNoPort):
		return &wire.Refusal{Code: wire.CodeNoPort, Text: err.Error()}
	}
	return &wire.Refusal{Code: wire.CodeNoPort, Text: "the relay cannot open a public port"}
}
