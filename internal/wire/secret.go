package wire

import (
	"errors"
	"strings"
)

// leastTold is how much of a secret in a row is not repeated, even if the rest of it
// is missing: many programs cut what they send back.
const leastTold = 8

// Hide gives the error of reading the answer to r without the secrets in r. A peer
// that is no relay may send back what it was sent, and errors end up in logs.
func (r Request) Hide(err error) error {
	var secrets []string
	for _, o := range r.Options {
		if o.Value != "" && (o.Key == OptionToken || o.Key == OptionLease) {
			secrets = append(secrets, o.Value)
		}
	}
	var refusal *Refusal
	var stranger *NoRelayError
	switch {
	case errors.As(err, &refusal):
		if !isKnownCode(refusal.Code) {
			refusal = &Refusal{Code: hide(refusal.Code, secrets), Text: refusal.Text}
		}
		return &Refusal{Code: refusal.Code, Text: hide(refusal.Text, secrets)}
	case errors.As(err, &stranger):
		return &NoRelayError{Sent: hide(stranger.Sent, secrets)}
	}
	return err
}

// hide gives text with stars for each part of a secret.
func hide(text string, secrets []string) string {
	var shown strings.Builder
	for len(text) > 0 {
		n := 0
		for _, secret := range secrets {
			n = max(n, told(text, secret))
		}
		if n > 0 {
			shown.WriteString("***")
		} else {
			n = 1
			shown.WriteByte(text[0])
		}
		text = text[n:]
	}
	return shown.String()
}

// told gives how many bytes at the beginning of text are from a secret, if it is
// enough of them to matter.
func told(text, secret string) int {
	n := 0
	for n < len(text) && strings.Contains(secret, text[:n+1]) {
		n++
	}
	if n < min(leastTold, len(secret)) {
		return 0
	}
	return n
}
