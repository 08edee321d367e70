package auth

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/seed96252745/relay/internal/certificate"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/wire"
)

// Authenticator identifies relay clients: by a token, or by a certificate if there is an
// authority for those. With neither, each is nobody in particular.
type Authenticator struct {
	Tokens       *File      // or nil
	Certificates bool       // there is an authority
	Ports        port.Range // which the relay chooses from
	// SSH are the authorities for certificates of SSH clients, or nil.
	SSH SSHAuthorities
}

// Open reports whether everybody may use the relay, as nobody in particular.
func (a Authenticator) Open() bool { return a.Tokens == nil && !a.Certificates && a.SSH == nil }

var (
	errNoTokens       = observe.WithReason(errors.New("the relay was started without a tokens file (--tokens)"), observe.TokensDisabled)
	errNoAuthority    = observe.WithReason(errors.New("the relay was started without an authority for certificates (--tlsClientCa)"), observe.CertificatesDisabled)
	errNoSSHAuthority = observe.WithReason(errors.New("the relay was started without an authority for certificates of SSH (--sshClientCa)"), observe.CertificatesDisabled)
	errOtherPort      = observe.WithReason(errors.New("it is good for other ports now"), observe.PortForbidden)
)

// ErrUnauthorized is wrapped by the error of Identify for a token that is nobody's. A
// relay client that shows the same one again has to wait for the answer, and an address
// that shows very many different ones is banned, as for wrong claims.
var ErrUnauthorized = errors.New("the relay does not know who this is")

// ErrIdentityChanged is wrapped by the reason for which an identity no longer holds
// that may come back as the same one, if with other rights: it keeps its leases, as
// far as WatchOwner allows it.
var ErrIdentityChanged = errors.New("the relay client has to register anew")

// Identify returns who a relay client is, from its connection and the token that it has
// shown, which may be none. An error that is a *wire.Refusal is for the relay client.
func (a Authenticator) Identify(c conn.Conn, token string) (Identity, error) {
	switch {
	case a.Open():
		return Identity{}, nil
	case a.Tokens == nil:
		return byCertificate(c, "it has shown no certificate, and there are no tokens here")
	case token == "":
		return byCertificate(c, "it has shown no token")
	}
	return byToken(a.Tokens, token)
}

// WatchOwner calls ended, once, when the identity with this name may no longer have a
// port that it has a lease of, while nobody serves it. If that is so already it returns
// the reason as its error. An identity of a certificate holds for as long as there is an
// authority.
func (a Authenticator) WatchOwner(name string, number int, ended func(reason error)) (stop func(), err error) {
	isCertificate := strings.HasPrefix(name, CertificatePrefix)
	isSSH := strings.HasPrefix(name, SSHCertificatePrefix)
	switch {
	case isSSH && a.SSH == nil:
		return nil, errNoSSHAuthority
	case isCertificate && !a.Certificates:
		return nil, errNoAuthority
	case (isCertificate || isSSH) && !a.Ports.Contains(number):
		return nil, errOtherPort
	case isCertificate || isSSH:
		return func() {}, nil
	case a.Tokens == nil:
		return nil, errNoTokens
	}
	return a.Tokens.WatchName(name, func(id Identity) error {
		if id.Ports == nil && !a.Ports.Contains(number) || id.Ports != nil && !id.Ports.Contains(number) {
			return errOtherPort
		}
		return nil
	}, ended)
}

// unauthorized returns what a relay client is told that shows nothing, or something
// wrong: it gives nothing away. Why is for the log.
func unauthorized(why string) error {
	return fmt.Errorf("%w; %w: %s", &wire.Refusal{
		Code: wire.CodeUnauthorized, Text: "this relay lets in whom it knows: give a token that it knows with --tokenFile or RELAY_TOKEN, or a certificate with --tlsCert",
	}, ErrUnauthorized, why)
}

// unauthorizedSSH is unauthorized for an SSH client.
func unauthorizedSSH(why string) error {
	return fmt.Errorf("%w; %w: %s", &wire.Refusal{
		Code: wire.CodeUnauthorized, Text: "this relay lets in whom it knows: show a key that it knows, or give the token as the password",
	}, ErrUnauthorized, why)
}

// IdentifyKey returns who an SSH client is that has, or offers, the private key of a public key
// or certificate. An error that is a *wire.Refusal is for the client.
func (a Authenticator) IdentifyKey(key ssh.PublicKey) (Identity, error) {
	if a.Open() {
		return Identity{}, nil
	}
	if c, ok := key.(*ssh.Certificate); ok {
		return a.SSH.identify(c, time.Now())
	}
	if a.Tokens == nil {
		return Identity{}, unauthorizedSSH("it has shown a key, and there are no tokens here")
	}
	id, err := a.Tokens.IdentifyKey(key)
	switch {
	case errors.Is(err, ErrExpired):
		return Identity{}, fmt.Errorf("%w; %w", &wire.Refusal{
			Code: wire.CodeExpired, Text: "this key has expired: ask for another day in its line of the tokens file",
		}, err)
	case err != nil:
		return Identity{}, unauthorizedSSH("it has shown a key that is not in the file")
	}
	return watchedBy(a.Tokens, id), nil
}

// byToken identifies the owner of a token. Only that one can learn that it has expired.
func byToken(tokens *File, token string) (Identity, error) {
	id, err := tokens.Identify(token)
	switch {
	case errors.Is(err, ErrExpired):
		return Identity{}, fmt.Errorf("%w; %w", &wire.Refusal{
			Code: wire.CodeExpired, Text: "this token has expired: ask for a new one, and put it into the file of --tokenFile, which is read again",
		}, err)
	case err != nil:
		return Identity{}, unauthorized("it has shown a token that is not in the file")
	}
	return watchedBy(tokens, id), nil
}

// watchedBy returns an identity of a file, which ends when the file says so.
func watchedBy(tokens *File, id Identity) Identity {
	shown := id
	id.Watch = func(ended func(error)) (stop func()) {
		return tokens.Watch(shown, func(reason error) {
			if errors.Is(reason, ErrChanged) || errors.Is(reason, ErrReplaced) {
				reason = fmt.Errorf("%w: %w", ErrIdentityChanged, reason)
			}
			ended(reason)
		})
	}
	return id
}

// CertificatePrefix stands before names from certificates: no name of a token has
// a colon.
const CertificatePrefix = "certificate:"

var errCertificateExpired = observe.WithReason(errors.New("the certificate has expired"), observe.CertificateExpired)

// byCertificate identifies a relay client that an authority has vouched for. The identity
// holds until the certificate expires, and a renewed one is the same owner's. Without says
// what is missing if there is no certificate.
func byCertificate(c conn.Conn, without string) (Identity, error) {
	secured, ok := c.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return Identity{}, unauthorized(without)
	}
	state := secured.ConnectionState()
	name := certificate.PeerName(state)
	if name == "" {
		return Identity{}, unauthorized(without)
	}
	until := state.PeerCertificates[0].NotAfter
	if !time.Now().Before(until) {
		return Identity{}, fmt.Errorf("%w; %w", &wire.Refusal{
			Code: wire.CodeExpired, Text: "this certificate has expired: ask for a new one",
		}, errCertificateExpired)
	}
	return Identity{
		Name: CertificatePrefix + name,
		Watch: func(ended func(error)) (stop func()) {
			timer := time.AfterFunc(time.Until(until), func() {
				ended(fmt.Errorf("%w: %w", ErrIdentityChanged, errCertificateExpired))
			})
			return func() { timer.Stop() }
		},
	}, nil
}
