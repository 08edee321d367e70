package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/sockerr"
	"github.com/seed96252745/relay/internal/wire"
)

// RefusedError is returned by Listen if the relay refuses the registration, and by Forward
// if the relay does so for a reason that does not pass by itself, and has never granted a
// registration before.
type RefusedError struct {
	Code string // one word, for programs: see docs/protocol.md
	Text string // the relay's explanation, for people
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("relay: refused: %s (%s)%s", e.Text, e.Code, e.advice())
}

// lasts reports whether the reason does not pass by itself: somebody has to change
// something, here or at the relay.
func (e *RefusedError) lasts() bool {
	switch e.Code {
	case wire.CodeUnauthorized, wire.CodeExpired, wire.CodeForbidden, wire.CodePortTaken, wire.CodeNameTaken,
		wire.CodeUnknownOption, wire.CodeBadOption, wire.CodeGroupDiffers:
		return true
	}
	return false
}

// isInUse reports whether a relay client of the same owner, who may be this process, serves what
// was asked for. The relay has it pass to another key of that owner once nobody serves it. What
// others have, or what has no owner, does not pass.
func (e *RefusedError) isInUse() bool { return e.Code == wire.CodeInUse }

// advice says which flag helps. The relay does not know with what it was asked.
func (e *RefusedError) advice() string {
	switch e.Code {
	case wire.CodeUnknownOption:
		if e.Text == wire.OptionGroup {
			return "; the relay is of an earlier version, which has no groups: upgrade it, or leave out --group"
		}
	case wire.CodeSuperseded:
		return "; to have a public port for each of the two, give one of them another name with --name"
	case wire.CodeNameTaken:
		return "; give this one another name with --name, or wait until the other one's lease is over"
	}
	return ""
}

// register asks the relay for what the service wants.
func (l *Listener) register(ctx context.Context, s *service) (*granted, error) {
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	p, err := l.preamble(s)
	if err != nil {
		return nil, err
	}
	r := s.request
	d := &relayDialer{name: r.relay, avoid: r.failed, tls: r.tls}
	registration, err := r.registerWith(ctx, d.dial, p)
	var refusal *wire.Refusal
	refused := errors.As(err, &refusal)
	for refused && forgo(&p, refusal) {
		registration, err = r.registerWith(ctx, d.dial, p)
		refused = errors.As(err, &refusal)
	}
	r.failed = "" // the next try goes to the first address of the name
	if err != nil && (!refused || isBetterElsewhere(refusal)) {
		r.failed = d.address()
	}
	if refused {
		return nil, &RefusedError{Code: refusal.Code, Text: refusal.Text}
	}
	if err != nil {
		err = fmt.Errorf("relay: %w%s", err, r.advice(err))
		if d.address() != "" {
			err = unansweredError{err}
		}
		return nil, err
	}
	public := Addr{Host: r.host, Port: registration.Answer().Port}
	return &granted{Registration: registration, service: s, dialer: d, public: public}, nil
}

// unansweredError is why a registration has failed that the relay may have granted: there was a
// connection, and no answer has come.
type unansweredError struct{ error }

// Unwrap returns what has happened.
func (e unansweredError) Unwrap() error { return e.error }

// opened has everybody know of what was granted.
func (l *Listener) opened(g *granted) {
	o := &g.service.options
	l.status.granted(g)
	opened := TunnelEvent{Name: string(observe.TunnelOpened), Level: slog.LevelInfo, Public: g.public}
	o.Logger.Info("registered", "event", opened.Name, "public", g.public.String(), "protocol", o.Protocol, "keptFor", g.Answer().Lease.String())
	o.report(opened)
	o.OnRegister(g.public)
}

func (r *request) registerWith(ctx context.Context, dial protocol.Dialer, p wire.Preamble) (protocol.Registration, error) {
	return r.client.Register(ctx, dial, protocol.Preamble{
		Registration: p.Options(),
		Claim:        wire.Preamble{Token: p.Token}.Options(),
	})
}

// forgo removes from p the option that a relay of an earlier version does not know, and those
// that are newer, if they can be done without. It reports whether there was one.
func forgo(p *wire.Preamble, refusal *wire.Refusal) bool {
	before := *p
	switch {
	case refusal.Code != wire.CodeUnknownOption:
	case strings.HasPrefix(refusal.Text, wire.OptionProbe):
		p.Probe, p.Control = false, 0
	case strings.HasPrefix(refusal.Text, wire.OptionControl):
		p.Control = 0
	}
	return p.Probe != before.Probe || p.Control != before.Control
}

// isBetterElsewhere reports whether to ask another relay of the same name after a refusal.
// A relay client that stands by for a port, or waits for a name, must not: it would get
// another port there, and serve that.
func isBetterElsewhere(refusal *wire.Refusal) bool {
	return refusal.Code == wire.CodeDraining || refusal.Code == wire.CodeNoPort
}

// preamble returns what to write before a registration, with the current token.
func (l *Listener) preamble(s *service) (wire.Preamble, error) {
	p := s.request.preamble
	p.Control = s.end.said().option()
	if s.options.TokenSource == nil {
		return p, nil
	}
	token, err := l.askForToken(s, p)
	switch {
	case err == nil:
		s.request.token = token
	case s.request.token == "":
		return p, fmt.Errorf("relay: there is no token: %w", err)
	default:
		s.options.Logger.Warn("the token cannot be read again; the previous one is shown", "error", err)
	}
	p.Token = s.request.token
	return p, nil
}

// askForToken returns the token that TokenSource, which is set, has now, if it can be shown
// with that preamble.
func (l *Listener) askForToken(s *service, preamble wire.Preamble) (token string, err error) {
	l.tokens.Lock()
	defer l.tokens.Unlock()
	if preamble.Token, err = s.options.TokenSource(); err == nil {
		err = checkPreamble(preamble)
	}
	return preamble.Token, err
}

// advice says what may help after a registration that has failed, where the error does
// not.
func (r *request) advice(err error) string {
	var alert *net.OpError
	switch {
	case sockerr.Is(err, syscall.ECONNREFUSED):
		return "; check that the relay runs there, and that this is its port"
	case sockerr.Is(err, syscall.EADDRNOTAVAIL):
		return noSourcePort
	case r.tls == nil && sockerr.Is(err, syscall.ECONNRESET):
		return "; if the relay requires encryption, use --tls or --tlsPin; if it has banned this address for a while, " +
			"for wrong ids or tokens that have come from it, its log says so"
	case r.tls == nil && errors.Is(err, io.ErrUnexpectedEOF):
		return "; if the relay requires encryption, use --tls or --tlsPin"
	case sockerr.Is(err, syscall.ECONNRESET):
		return "; the relay may have banned this address for a while, for wrong ids or tokens that have come from it: its log says so"
	case errors.As(err, &alert) && alert.Op == "remote error" && strings.Contains(alert.Err.Error(), "certificate"):
		// With TLS 1.3 the alert comes after this side's handshake.
		return "; the relay does not accept the certificate of this client: give another one with --tlsCert, " +
			"from an authority that the relay trusts"
	}
	return ""
}

// noSourcePort is the advice when no local port is left for a connection.
const noSourcePort = "; this is EADDRNOTAVAIL: no source port is left here towards that address, since each stays taken " +
	"for a minute after a connection that this side has ended first; widen net.ipv4.ip_local_port_range, " +
	"or, towards the relay, use --protocol=multiplex, which needs one port for all users; " +
	"or this machine has no address of that family (IPv4, IPv6) any more"

// withAdvice adds to the error of a dial what to do, where that is not plain.
func withAdvice(err error) error {
	if sockerr.Is(err, syscall.EADDRNOTAVAIL) && !sockerr.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w%s", err, noSourcePort)
	}
	return err
}

// registerTimeout bounds all of a registration; connecting may take half of it.
const registerTimeout = 20 * time.Second
