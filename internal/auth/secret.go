package auth

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/seed96252745/relay/internal/secretfile"
)

const (
	// secretPrefix lets scanners find misplaced secrets.
	secretPrefix = "relay_"
	// secretAlphabet is the alphabet of rand.Text.
	secretAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	// minConcealed is how many characters after the prefix make a secret, and not
	// another word; they are 40 of its bits.
	minConcealed = 8
	hashPrefix   = "sha256:"
	// maxSecret bounds a secret's bytes, so that it fits into a line on the wire.
	maxSecret = 512
)

// NewSecret returns a secret of 130 random bits. That is enough for a plain hash:
// nobody finds a secret by trying.
func NewSecret() string { return secretPrefix + rand.Text() }

// Hash returns what a tokens file stores of a secret.
func Hash(secret string) string {
	hash := hashOf(secret)
	return hashPrefix + hex.EncodeToString(hash[:])
}

func hashOf(secret string) [sha256.Size]byte { return sha256.Sum256([]byte(secret)) }

// Conceal returns text without secrets from NewSecret, truncated ones included. People
// may type a secret, or put it into a file, in the place of another word, and messages
// repeat words.
func Conceal(text string) string {
	var shown strings.Builder
	for {
		before, after, found := strings.Cut(text, secretPrefix)
		shown.WriteString(before)
		if !found {
			return shown.String()
		}
		text = strings.TrimLeft(after, secretAlphabet)
		if secret := after[:len(after)-len(text)]; len(secret) < minConcealed {
			shown.WriteString(secretPrefix + secret)
			continue
		}
		shown.WriteString(secretPrefix + "***")
	}
}

// ReadSecretFile reads a relay client's secret. The file holds only the secret and
// perhaps a line end, and only its owner may read it, as with a tokens file. Errors do
// not show its content.
func ReadSecretFile(path string) (string, error) {
	file, _, err := secretfile.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close() //nolint:errcheck // it was only read
	content, err := io.ReadAll(io.LimitReader(file, maxSecret+int64(len("\r\n"))+1))
	if err != nil {
		return "", err
	}
	secret, ended := bytes.CutSuffix(content, []byte("\n"))
	if ended {
		secret = bytes.TrimSuffix(secret, []byte("\r"))
	}
	if err := CheckSecret(string(secret)); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return string(secret), nil
}

// CheckSecret returns what is wrong with a relay client's secret, without showing it.
func CheckSecret(secret string) error {
	if secret == "" {
		return errors.New("it is empty: it must hold the secret that relay token new has shown")
	}
	if len(secret) > maxSecret {
		return fmt.Errorf("it has more than the %d bytes of a secret: is it another file?", maxSecret)
	}
	for i, b := range []byte(secret) {
		if b < '!' || b > '~' {
			return fmt.Errorf("byte %d is 0x%02x: a secret is one line of letters, digits and signs, without spaces", i+1, b)
		}
	}
	return nil
}
