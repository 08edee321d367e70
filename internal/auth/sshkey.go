package auth

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// keyTypes are the SSH public keys that a line can have. DSA is broken.
var keyTypes = []string{
	ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSA,
	ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
}

// minRSA is what a key has at least that the internet trusts today, in bits.
const minRSA = 2048

// parseCredentials parses what stands for an identity, behind its name: the hash of a secret,
// SSH public keys, or both. It returns the number of the field behind them.
func (id *Identity) parseCredentials(fields []string) (n int, err error) {
	n = 1
	if !slices.Contains(keyTypes, fields[n]) {
		if err := errKeyAlone(fields[n]); err != nil {
			return 0, err
		}
		if id.hash, err = parseHash(fields[n]); err != nil {
			return 0, err
		}
		id.secret = true
		n++
	}
	for n < len(fields) && slices.Contains(keyTypes, fields[n]) {
		if n+1 == len(fields) {
			return 0, fmt.Errorf("field %d: the key is missing behind %s", n+1, fields[n])
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(fields[n] + " " + fields[n+1]))
		switch {
		case err != nil:
			return 0, fmt.Errorf("field %d: that is no SSH public key: copy both words of the line that ssh-keygen has written into the .pub file", n+2)
		case key.Type() != fields[n]:
			return 0, fmt.Errorf("field %d: the key is one of %s", n+2, key.Type())
		}
		if err := id.addKey(key); err != nil {
			return 0, fmt.Errorf("field %d: %w", n+2, err)
		}
		n += 2
	}
	return n, nil
}

// errKeyAlone returns what is wrong with a field that may be the key of SSH without what stands
// before it, or a kind that is not taken.
func errKeyAlone(field string) error {
	switch {
	case strings.HasPrefix(field, "AAAA"):
		return errors.New("field 2: that may be an SSH public key, whose kind is missing before it: write ssh-ed25519 AAAA... and so on")
	case strings.HasPrefix(field, "ssh-"), strings.HasPrefix(field, "ecdsa-"), strings.HasPrefix(field, "sk-"):
		return fmt.Errorf("field 2: keys of that kind are not taken; those that are: %s", strings.Join(keyTypes, ", "))
	}
	return nil
}

// errNoSetting is the error of field number n.
func errNoSetting(n int, behindKey bool) error {
	if behindKey {
		return fmt.Errorf("field %d has no '=': write key=value, and leave out the comment of the SSH key", n)
	}
	return fmt.Errorf("field %d has no '=': write key=value", n)
}

// addKey has a key stand for the identity.
func (id *Identity) addKey(key ssh.PublicKey) error {
	if !slices.Contains(keyTypes, key.Type()) {
		return fmt.Errorf("keys of the kind %s are not taken; those that are: %s", key.Type(), strings.Join(keyTypes, ", "))
	}
	if c, ok := key.(ssh.CryptoPublicKey); ok {
		if k, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok && k.N.BitLen() < minRSA {
			return fmt.Errorf("an RSA key of %d bits is too short: it has to have %d; better make an ed25519 one, with ssh-keygen -t ed25519", k.N.BitLen(), minRSA)
		}
	}
	text := keyText(key)
	if slices.Contains(id.keys, text) {
		return errors.New("the SSH key is given twice")
	}
	id.keys = append(id.keys, text)
	return nil
}

// keyText returns a key as a line has it.
func keyText(key ssh.PublicKey) string { return string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(key))) }

// IdentifyKey returns the identity of an SSH public key. Errors wrap ErrUnknownToken or
// ErrExpired; the latter name the identity.
func (t *Tokens) IdentifyKey(key ssh.PublicKey, now time.Time) (Identity, error) {
	text := keyText(key)
	id := t.byKey[text]
	if id == nil {
		return Identity{}, ErrUnknownToken
	}
	if id.Expired(now) {
		return Identity{}, fmt.Errorf("%s: %w", id.Name, ErrExpired)
	}
	found := *id
	found.shown = text
	return found, nil
}

// IdentifyKey returns the identity of an SSH public key, as Tokens.IdentifyKey does.
func (f *File) IdentifyKey(key ssh.PublicKey) (Identity, error) {
	return f.tokens.Load().IdentifyKey(key, time.Now())
}
