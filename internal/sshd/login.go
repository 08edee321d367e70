package sshd

import (
	"errors"

	"golang.org/x/crypto/ssh"

	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/front"
)

// login finds out who an SSH client is.
type login struct {
	front      *Front
	conn       conn.Conn
	arrival    front.Arrival
	identities Identities
}

// whois is who an SSH client is, and what its user name asks for.
type whois struct {
	auth.Identity
	// key is the fingerprint of its public key, or empty.
	key  string
	wish wish
	// wrong is why its user name cannot be read, or nil.
	wrong error
}

// whoisKey is where a whois is in the extra data of ssh.Permissions.
type whoisKey struct{}

var errNoneRefused = errors.New("show a key first, or have the user name ask for auth+none")

// config returns what golang.org/x/crypto/ssh is told for one connection.
//
// On a relay that is open the method none is refused at first, or a client would never show its
// key, which keeps its port; keyboard-interactive without a question lets in those without one.
func (l *login) config() *ssh.ServerConfig {
	c := &ssh.ServerConfig{ServerVersion: version, PublicKeyCallback: l.publicKey}
	c.KeyExchanges = keyExchanges
	for _, key := range l.front.signing.of(l.front.config.HostKeys) {
		c.AddHostKey(key)
	}
	if !l.identities.Open() {
		c.PasswordCallback = l.password
		return c
	}
	c.NoClientAuth, c.NoClientAuthCallback = true, l.none
	c.KeyboardInteractiveCallback = func(m ssh.ConnMetadata, _ ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
		return permit(m, auth.Identity{}, ""), nil
	}
	return c
}

func (l *login) none(m ssh.ConnMetadata) (*ssh.Permissions, error) {
	if w, err := parseWish(m.User()); err != nil || !w.none {
		return nil, errNoneRefused
	}
	return permit(m, auth.Identity{}, ""), nil
}

func (l *login) publicKey(m ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	id, err := l.identities.IdentifyKey(key)
	if err != nil {
		return nil, err
	}
	certificate, ok := key.(*ssh.Certificate)
	if ok {
		key = certificate.Key
	}
	p := permit(m, id, ssh.FingerprintSHA256(key))
	if ok {
		p.CriticalOptions = certificate.CriticalOptions // source-address, which the library checks
	}
	return p, nil
}

func (l *login) password(m ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
	id, err := l.arrival.Identify(string(password))
	if err != nil {
		return nil, err
	}
	return permit(m, id, ""), nil
}

// permit lets a client in.
func permit(m ssh.ConnMetadata, id auth.Identity, key string) *ssh.Permissions {
	w := &whois{Identity: id, key: key}
	w.wish, w.wrong = parseWish(m.User())
	return &ssh.Permissions{ExtraData: map[any]any{whoisKey{}: w}}
}

// result returns who the client of a connection is that was let in.
func (l *login) result(c *ssh.ServerConn) *whois {
	w, _ := c.Permissions.ExtraData[whoisKey{}].(*whois)
	c.Permissions = nil // most of which is a map
	return w
}
