package wire

import (
	"errors"
	"strings"
)

// minRedacted is how many consecutive bytes of a secret are redacted, even if the rest
// of it is missing: many programs truncate what they send back.
const minRedacted = 8

// Redact returns the error of reading the answer to r without the secrets in r. A peer
// that is not a relay may send back what it received, and errors end up in logs.
func (r Request) Redact(err error) error {
	var secrets []string
	for _, o := range r.Options {
		if o.Value != "" && (o.Key == OptionToken || o.Key == OptionLease) {
			secrets = append(secrets, o.Value)
		}
	}
	var refusal *Refusal
	var notRelay *NotRelayError
	switch {
	case errors.As(err, &refusal):
		if !isKnownCode(refusal.Code) {
			refusal = &Refusal{Code: redact(refusal.Code, secrets), Text: refusal.Text}
		}
		return &Refusal{Code: refusal.Code, Text: redact(refusal.Text, secrets)}
	case errors.As(err, &notRelay):
		return &NotRelayError{Sent: redact(notRelay.Sent, secrets)}
	}
	return err
}

// redact returns text with stars in place of each part of a secret.
func redact(text string, secrets []string) string {
	var shown strings.Builder
	for len(text) > 0 {
		n := 0
		for _, secret := range secrets {
			n = max(n, secretLen(text, secret))
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

// secretLen returns how many bytes at the beginning of text are from a secret, or 0 if
// they are too few to matter.
func secretLen(text, secret string) int {
	n := 0
	for n < len(text) && strings.Contains(secret, text[:n+1]) {
		n++
	}
	if n < min(minRedacted, len(secret)) {
		return 0
	}
	return n
}
