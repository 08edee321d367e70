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
	// secretPrefix lets scanners find secrets where they do not belong.
	secretPrefix = "relay_"
	// secretAlphabet is that of rand.Text.
	secretAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	// revealing is how many characters of a secret, and not of another word, are 40
	// of its bits.
	revealing  = 8
	hashPrefix = "sha256:"
	// maxSecret bounds a secret's bytes, so that it fits into a line on the wire.
	maxSecret = 512
)

// NewSecret makes a secret of 130 random bits. With so many, its hash can be
// plain: nobody finds a secret by trying.
func NewSecret() string { return secretPrefix + rand.Text() }

// Hash gives what a tokens file has of a secret.
func Hash(secret string) string {
	hash := hashOf(secret)
	return hashPrefix + hex.EncodeToString(hash[:])
}

func hashOf(secret string) [sha256.Size]byte { return sha256.Sum256([]byte(secret)) }

// Conceal gives text without the secrets in it that NewSecret has made, also those
// that are cut off somewhere. What a person types, or puts into a file, may stand in
// the place of another word, and messages repeat words.
func Conceal(text string) string {
	var shown strings.Builder
	for {
		before, after, found := strings.Cut(text, secretPrefix)
		shown.WriteString(before)
		if !found {
			return shown.String()
		}
		text = strings.TrimLeft(after, secretAlphabet)
		if secret := after[:len(after)-len(text)]; len(secret) < revealing {
			shown.WriteString(secretPrefix + secret)
			continue
		}
		shown.WriteString(secretPrefix + "***")
	}
}

// ReadSecretFile reads a relay client's secret. The file has nothing else in it,
// but for a line end, and is its owner's alone, as a tokens file is. Errors do not
// show what is in it.
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

// CheckSecret tells what is wrong with a relay client's secret, without showing it.
func CheckSecret(secret string) error {
	if secret == "" {
		return errors.New("it is empty: it has to hold the secret that relay token new has shown")
	}
	if len(secret) > maxSecret {
		return fmt.Errorf("it has more than the %d bytes of a secret: is it something else?", maxSecret)
	}
	for i, b := range []byte(secret) {
		if b < '!' || b > '~' {
			return fmt.Errorf("byte %d is 0x%02x: a secret is one line of letters, digits and signs, without spaces", i+1, b)
		}
	}
	return nil
}
