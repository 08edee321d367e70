package auth

import (
	"net/netip"

	"golang.org/x/crypto/ssh"
)

// Open reports whether everybody may use the relay, as nobody in particular.
func (a Authenticator) Open() bool { return a.Tokens == nil && !a.Certificates }

// IdentifyKey returns the identity of an SSH key whose owner has shown to have it.
func (a Authenticator) IdentifyKey(ssh.PublicKey, netip.Addr) (Identity, error) {
	if a.Open() {
		return Identity{}, nil
	}
	return Identity{}, unauthorized("it has shown a key that is not in the file")
}
