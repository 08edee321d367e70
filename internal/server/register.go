package server

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/sockerr"
	"github.com/seed96252745/relay/internal/wire"
)

// register gives the relay client a public port, and tells it.
func (h *handshake) register() error {
	a, err := h.identify()
	if err != nil {
		return h.refuse(err)
	}
	if !h.gate.enter(h.endpoints.Closed()) {
		return h.passOn()
	}
	defer h.gate.leave()
	e, err := h.registrar.endpointFor(a)
	if err != nil {
		return h.refuse(err)
	}
	return h.bind(e, a, binding{h.req.Verb.Name, isEncrypted(h.conn), func(g protocol.Grant) (protocol.Session, error) {
		return h.protocols[h.req.Verb].Register(h.conn, g)
	}})
}

// binding is how a relay client gets to its endpoint.
type binding struct {
	protocol  string
	encrypted bool
	// start tells it of its port, and returns the session.
	start func(protocol.Grant) (protocol.Session, error)
}

// bind has the relay client of an applicant serve an endpoint.
func (h *handshake) bind(e *endpoint.Endpoint, a *applicant, b binding) error {
	defer func() { // also when the protocol panics
		if e != nil {
			e.CloseIfUnbound(errNotTold)
		}
	}()
	answer := wire.Answer{Port: e.Port}
	if e.Lease != nil {
		answer.Lease = e.Lease.TTL()
	}
	session, err := b.start(protocol.Grant{
		Answer: answer, Owner: a.Name, Holder: a.holder(), Sessions: a.wish.Sessions,
	})
	if err != nil {
		return err
	}
	_ = h.conn.SetWriteDeadline(noDeadline) // what is left of the handshake's
	if err := e.Bind(h.client(a, b, session)); err != nil {
		_ = session.Close()
		return err
	}
	h.succession.served(e.Port, a.wish.Instance)
	e = nil // which is served
	h.endIfOutdated(session)
	return nil
}

// client returns what the endpoint knows of an applicant.
func (h *handshake) client(a *applicant, b binding, session protocol.Session) endpoint.Client {
	return endpoint.Client{
		Session:   session,
		Protocol:  b.protocol,
		Addr:      h.conn.RemoteAddr(),
		Source:    a.source,
		Identity:  a.Name,
		Instance:  a.wish.Instance,
		Name:      a.tunnelName(),
		Group:     a.wish.Group,
		Key:       a.process().Key,
		Terms:     a.terms(),
		Member:    a.wish.Name,
		Policy:    a.wish.Policy.Within(a.Policy),
		Proxy:     a.wish.Proxy,
		Probe:     a.wish.Probe,
		Control:   a.wish.Control != 0,
		Down:      a.wish.Control == wire.ControlDown,
		Encrypted: b.encrypted,
		Watch:     a.Watch,
	}
}

// errStrangersGroup refuses a group of which nobody knows whose it is.
var errStrangersGroup = &wire.OptionError{Key: wire.OptionGroup, Want: "it needs a token or a certificate that this relay knows, by which its members are known as one owner's"}

// identify finds out who registers, and what it asks for.
func (h *handshake) identify() (*applicant, error) {
	wish, err := wire.ParsePreamble(h.req.Options)
	if err != nil {
		return nil, err
	}
	identity, err := h.under.Identify(h.conn, wish.Token)
	if err != nil {
		h.delayRefusal(wish.Token, err)
		return nil, err
	}
	if h.endpoints.Draining().Err() != nil {
		return nil, endpoint.ErrDraining
	}
	if wish.Session != "" { // of a tunnel whose protocol has claims by id
		return nil, &wire.OptionError{Key: wire.OptionSession, Want: "it is for further connections of multiplex"}
	}
	if wish.Group != "" && identity.Name == "" {
		return nil, errStrangersGroup
	}
	return &applicant{Identity: identity, source: h.source(), wish: wish}, nil
}

// delayRefusal holds the connection, whose token is refused with err, for as long as the
// limits want. It holds no slot of a handshake by now.
func (h *handshake) delayRefusal(token string, err error) {
	if h.penalize(token, err) {
		_ = h.conn.SetWriteDeadline(time.Now().Add(h.under.Limits.HandshakeTimeout)) // fails as the write does
	}
}

// penalize penalizes the source for a token that is refused with err, and waits for as long as
// the limits want. It reports whether it has.
func (h *handshake) penalize(token string, err error) (waited bool) {
	if !errors.Is(err, auth.ErrUnauthorized) {
		return false
	}
	source := h.source()
	delay := h.admission.PenalizeToken(source, token)
	if delay == 0 || !h.admission.AdmitDelayed(source) {
		return false
	}
	defer h.admission.ReleaseDelayed(source)
	select {
	case <-time.After(delay):
	case <-h.endpoints.Draining().Done(): // and when it is closed
	}
	return true
}

// refuse tells a relay client why it is not registered.
func (h *handshake) refuse(reason error) error {
	refusal := refusalOf(reason)
	err := wire.WriteRefusal(h.conn, refusal)
	_ = h.conn.Close()
	if told := new(wire.Refusal); !errors.As(reason, &told) {
		reason = &refusedError{reason, refusal}
	}
	if err != nil {
		return fmt.Errorf("%w; telling so: %w", reason, err)
	}
	return reason
}

// refusedError is why a relay client is refused, with what it is told.
type refusedError struct {
	error
	told *wire.Refusal
}

// Error has the reason, and the code of the refusal.
func (e *refusedError) Error() string { return fmt.Sprintf("%v (%s)", e.error, e.told.Code) }

// Unwrap returns both.
func (e *refusedError) Unwrap() []error { return []error{e.error, e.told} }

// refusalOf returns what to tell a relay client. What it does not know is the relay's own
// trouble, and nobody else's business.
func refusalOf(err error) *wire.Refusal {
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
	case errors.Is(err, lease.ErrPortTaken), sockerr.Is(err, syscall.EADDRINUSE):
		return &wire.Refusal{Code: wire.CodePortTaken, Text: "somebody else has this port"}
	}
	for _, r := range []struct {
		err  error
		code string
	}{
		{endpoint.ErrDraining, wire.CodeDraining},
		{admission.ErrTunnelsPerSource, wire.CodeLimit},
		{admission.ErrTunnelsPerNetwork, wire.CodeLimit},
		{admission.ErrTunnelsPerIdentity, wire.CodeLimit},
		{errForbiddenPort, wire.CodeForbidden},
		{errSuperseded, wire.CodeSuperseded},
		{lease.ErrNameTaken, wire.CodeNameTaken},
		{errNotOpen, wire.CodeNotOpen},
		{lease.ErrNoPort, wire.CodeNoPort},
		{endpoint.ErrDiffers, wire.CodeGroupDiffers},
		{endpoint.ErrGroupFull, wire.CodeLimit},
	} {
		if errors.Is(err, r.err) {
			return &wire.Refusal{Code: r.code, Text: err.Error()}
		}
	}
	return &wire.Refusal{Code: wire.CodeNoPort, Text: "the relay cannot open a public port"}
}
