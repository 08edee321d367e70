package certificate

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

const pinPrefix = "sha256//"

// Pin returns the fingerprint of the certificate's key as curl writes it: "sha256//",
// and the SHA-256 of its SubjectPublicKeyInfo in base64. It stays the same when a
// certificate is renewed for the same key.
func Pin(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return pinPrefix + base64.StdEncoding.EncodeToString(sum[:])
}

// pins are fingerprints, one of which a server's key must have.
type pins [][sha256.Size]byte

// CheckPins returns what is wrong with pins.
func CheckPins(texts []string) error {
	_, err := parsePins(texts)
	return err
}

func parsePins(texts []string) (pins, error) {
	var all pins
	for _, text := range texts {
		digits, ok := strings.CutPrefix(text, pinPrefix)
		sum, err := base64.StdEncoding.DecodeString(digits)
		if !ok || err != nil || len(sum) != sha256.Size {
			return nil, fmt.Errorf("%+.80q is not a pin: a pin looks like %s%s, and the relay logs its own when it starts",
				text, pinPrefix, base64.StdEncoding.EncodeToString(make([]byte, sha256.Size)))
		}
		all = append(all, [sha256.Size]byte(sum))
	}
	return all, nil
}

// verify is for tls.Config.VerifyConnection.
func (p pins) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the relay has shown no certificate")
	}
	leaf := state.PeerCertificates[0]
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	found := 0
	for _, pin := range p {
		found |= subtle.ConstantTimeCompare(pin[:], sum[:])
	}
	if found == 0 {
		return fmt.Errorf("the relay's key does not match --tlsPin: it has the pin %s; "+
			"use that only if the relay itself logs it, otherwise somebody else has answered", Pin(leaf))
	}
	return nil
}
