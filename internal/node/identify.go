package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/certificate"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/wire"
)

// identify says who relay clients are: by a token, or by a certificate if there is
// an authority for those. With neither, everybody is nobody in particular.
func identify(tokens *auth.File, certificates bool) func(conn.Conn, string) (server.Identity, error) {
	switch {
	case tokens == nil && !certificates:
		return nil
	case tokens == nil:
		return func(conn conn.Conn, _ string) (server.Identity, error) {
			return byCertificate(conn, "it has shown no certificate, and there are no tokens here")
		}
	}
	return func(conn conn.Conn, token string) (server.Identity, error) {
		if token == "" {
			return byCertificate(conn, "it has shown no token")
		}
		return byToken(tokens, token)
	}
}

var (
	errNoTokens    = observe.WithReason(errors.New("the relay was started without a tokens file (--tokens)"), observe.TokensDisabled)
	errNoAuthority = observe.WithReason(errors.New("the relay was started without an authority for certificates (--tlsClientCa)"), observe.CertificatesDisabled)
	errOtherPort   = observe.WithReason(errors.New("it is good for other ports now"), observe.PortForbidden)
)

// withReason gives the reason, in the words of the log, for which a token no longer holds.
func withReason(err error) error {
	for _, known := range []struct {
		err    error
		reason observe.Reason
	}{
		{auth.ErrRevoked, observe.TokenRevoked},
		{auth.ErrExpired, observe.TokenExpired},
		{auth.ErrReplaced, observe.TokenReplaced},
		{auth.ErrChanged, observe.TokenChanged},
	} {
		if errors.Is(err, known.err) {
			return observe.WithReason(err, known.reason)
		}
	}
	return err
}

// watchOwner tells whether an identity may keep a port that nobody serves, of which
// there are such that nobody may ask for: see server.Config. Who has a certificate
// may for as long as there is an authority for those.
func watchOwner(tokens *auth.File, certificates bool, ports port.Range) func(string, int, func(error)) (func(), error) {
	return func(name string, number int, ended func(error)) (stop func(), err error) {
		isCertificate := strings.HasPrefix(name, certificatePrefix)
		switch {
		case isCertificate && !certificates:
			return nil, errNoAuthority
		case isCertificate && !ports.Contains(number):
			return nil, errOtherPort
		case isCertificate:
			return func() {}, nil
		case tokens == nil:
			return nil, errNoTokens
		}
		stop, err = tokens.WatchName(name, func(id auth.Identity) error {
			if id.Ports == nil && !ports.Contains(number) || id.Ports != nil && !id.Ports.Contains(number) {
				return errOtherPort
			}
			return nil
		}, func(reason error) { ended(withReason(reason)) })
		return stop, withReason(err)
	}
}

// unauthorized is what is told to who has nothing to show, and to who shows
// something wrong: it gives nothing away. Which of them it was is for the log.
func unauthorized(why string) error {
	return fmt.Errorf("%w; %w: %s", &wire.Refusal{
		Code: wire.CodeUnauthorized, Text: "this relay lets in whom it knows: give a token that it knows with --tokenFile or RELAY_TOKEN, or a certificate with --tlsCert",
	}, server.ErrUnauthorized, why)
}

// byToken knows the owner of a token. Only that one can learn that it has expired.
func byToken(tokens *auth.File, token string) (server.Identity, error) {
	id, err := tokens.Identify(token)
	switch {
	case errors.Is(err, auth.ErrExpired):
		return server.Identity{}, fmt.Errorf("%w; %w", &wire.Refusal{
			Code: wire.CodeExpired, Text: "this token has expired: ask for a new one, and put it into the file of --tokenFile, which is read again",
		}, err)
	case err != nil:
		return server.Identity{}, unauthorized("it has shown a token that is not in the file")
	}
	return server.Identity{
		Name:    id.Name,
		Ports:   id.Ports,
		Tunnels: id.Tunnels,
		Policy:  id.Policy,
		Watch: func(ended func(error)) (stop func()) {
			return tokens.Watch(id, func(reason error) {
				reason = withReason(reason)
				if errors.Is(reason, auth.ErrChanged) || errors.Is(reason, auth.ErrReplaced) {
					reason = fmt.Errorf("%w: %w", server.ErrIdentityChanged, reason)
				}
				ended(reason)
			})
		},
	}, nil
}

// certificatePrefix stands before names from certificates: no name of a token has
// a colon.
const certificatePrefix = "certificate:"

var errCertificateExpired = observe.WithReason(errors.New("the certificate has expired"), observe.CertificateExpired)

// byCertificate knows whom an authority has vouched for. It holds until it expires,
// and whoever comes with a renewed one is the same owner. Without says what is
// missing of who has none.
func byCertificate(conn conn.Conn, without string) (server.Identity, error) {
	c, ok := conn.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return server.Identity{}, unauthorized(without)
	}
	state := c.ConnectionState()
	name := certificate.PeerName(state)
	if name == "" {
		return server.Identity{}, unauthorized(without)
	}
	until := state.PeerCertificates[0].NotAfter
	if !time.Now().Before(until) {
		return server.Identity{}, fmt.Errorf("%w; %w", &wire.Refusal{
			Code: wire.CodeExpired, Text: "this certificate has expired: ask for a new one",
		}, errCertificateExpired)
	}
	return server.Identity{
		Name: certificatePrefix + name,
		Watch: func(ended func(error)) (stop func()) {
			timer := time.AfterFunc(time.Until(until), func() {
				ended(fmt.Errorf("%w: %w", server.ErrIdentityChanged, errCertificateExpired))
			})
			return func() { timer.Stop() }
		},
	}, nil
}
