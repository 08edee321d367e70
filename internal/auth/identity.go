package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/seed96252745/relay/internal/policy"
	"github.com/seed96252745/relay/internal/port"
)

// Identity is who may do what. It comes from New, a tokens file or a certificate. The
// zero value is nobody in particular. Its contents are shared and must not be written to, except with Set on a
// copy.
type Identity struct {
	// Name is unique in its file.
	Name string
	// Ports are the public ports that it may have, and ask for. Without any, the relay
	// chooses one of its own, and none may be asked for.
	Ports port.Set
	// Tunnels bounds the tunnels at a time; 0 leaves it to the relay's own limit.
	Tunnels int
	// Policy applies to each of its public ports.
	Policy policy.Policy
	// Expires is when it becomes invalid; zero means never.
	Expires time.Time
	// Watch has ended called, once, when the identity no longer holds, and stop ends
	// that. Ended must not wait. Nil is an identity that holds for ever.
	Watch func(ended func(reason error)) (stop func())

	secret bool              // it has one
	hash   [sha256.Size]byte // of its secret
	keys   []string          // SSH public keys, as authorized_keys has them without a comment
	// shown is the key by which it was identified, or empty.
	shown string
}

// New returns an identity with all that the relay lets anybody do, and its
// secret, which is stored nowhere.
func New(name string) (id Identity, secret string, err error) {
	if err := checkName(name); err != nil {
		return Identity{}, "", err
	}
	secret = NewSecret()
	return Identity{Name: name, secret: true, hash: hashOf(secret)}, secret, nil
}

// NewWithKeys returns an identity as New does, which SSH public keys stand for in place of a
// secret. There is at least one.
func NewWithKeys(name string, keys []ssh.PublicKey) (id Identity, err error) {
	if err := checkName(name); err != nil {
		return Identity{}, err
	}
	id = Identity{Name: name}
	for _, k := range keys {
		if err := id.addKey(k); err != nil {
			return Identity{}, err
		}
	}
	return id, nil
}

// HasSecret reports whether the identity has a secret.
func (id *Identity) HasSecret() bool { return id.secret }

// Fingerprints returns the fingerprints of its SSH keys, as ssh-keygen -l shows them.
func (id *Identity) Fingerprints() (all []string) {
	for _, k := range id.keys {
		if key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(k)); err == nil {
			all = append(all, ssh.FingerprintSHA256(key))
		}
	}
	return all
}

// checkName does not repeat the name: in a file it may be a misplaced secret.
func checkName(name string) error {
	if Conceal(name) != name {
		return errors.New("that is a secret: a name comes first, and its owner has the secret")
	}
	if err := policy.CheckName(name); err != nil {
		return fmt.Errorf("that is not a name: %w", err)
	}
	return nil
}

// Expired reports whether it has expired.
func (id *Identity) Expired(now time.Time) bool {
	return !id.Expires.IsZero() && !now.Before(id.Expires)
}

// Line returns it as a line of a tokens file, without the line's end.
func (id *Identity) Line() string {
	fields := []string{id.Name}
	if id.HasSecret() {
		fields = append(fields, hashPrefix+hex.EncodeToString(id.hash[:]))
	}
	fields = append(fields, id.keys...)
	for _, s := range settings() {
		if value := s.get(id); value != "" {
			fields = append(fields, s.key+"="+value)
		}
	}
	return strings.Join(fields, " ")
}

// Set sets the value of a key of tokens files; the package comment lists the keys.
// After an error nothing has changed.
func (id *Identity) Set(key, value string) error {
	s, err := findSetting(settings(), key)
	if err != nil {
		return err
	}
	return s.set(id, value)
}

// Get returns the value of a key as tokens files write it, or "" if there is none.
func (id *Identity) Get(key string) string {
	s, err := findSetting(settings(), key)
	if err != nil {
		return ""
	}
	return s.get(id)
}

// samePermissions reports whether both may do the same until they expire.
func (id *Identity) samePermissions(other *Identity) bool {
	return slices.Equal(id.Ports, other.Ports) && id.Tunnels == other.Tunnels && id.Policy.Equal(other.Policy)
}

// setting is a key of tokens files.
type setting struct {
	key string
	set func(id *Identity, value string) error
	get func(id *Identity) string
}

func settings() []setting {
	return []setting{
		settingOf("ports", func(id *Identity) *port.Set { return &id.Ports }, port.ParseSet, port.Set.String),
		settingOf("tunnels", func(id *Identity) *int { return &id.Tunnels }, policy.ParseCount, policy.FormatCount),
		settingOf("users", func(id *Identity) *int { return &id.Policy.Users }, policy.ParseCount, policy.FormatCount),
		settingOf("usersPerSecond", func(id *Identity) *int { return &id.Policy.UsersPerSecond }, policy.ParseCount, policy.FormatCount),
		settingOf("bytesPerSecond", func(id *Identity) *int64 { return &id.Policy.BytesPerSecond }, policy.ParseBytes, policy.FormatBytes),
		settingOf("allow", func(id *Identity) *[][]netip.Prefix { return &id.Policy.Allow }, parseAllow, formatAllow),
		settingOf("deny", func(id *Identity) *[]netip.Prefix { return &id.Policy.Deny }, policy.ParseNetworks, policy.FormatNetworks),
		settingOf("expires", func(id *Identity) *time.Time { return &id.Expires }, parseExpiry, formatExpiry),
	}
}

func settingOf[T any](key string, field func(*Identity) *T, parse func(string) (T, error), format func(T) string) setting {
	return setting{
		key: key,
		set: func(id *Identity, text string) error {
			value, err := parse(text)
			if err == nil {
				*field(id) = value
			}
			return err
		},
		get: func(id *Identity) string { return format(*field(id)) },
	}
}

func parseAllow(text string) ([][]netip.Prefix, error) {
	networks, err := policy.ParseNetworks(text)
	return policy.AllowOnly(networks), err
}

// formatAllow formats the only list that an identity of a file has.
func formatAllow(lists [][]netip.Prefix) string {
	return policy.FormatNetworks(slices.Concat(lists...))
}

// findSetting does not repeat an unknown key: it may be a misplaced secret.
func findSetting(settings []setting, key string) (setting, error) {
	names := make([]string, len(settings))
	for i, s := range settings {
		if s.key == key {
			return s, nil
		}
		names[i] = s.key
	}
	return setting{}, errors.New("there is no such key; keys are " + strings.Join(names, ", "))
}

var errNoTime = errors.New("times are written 2027-01-31, for the end of that day in UTC, or 2027-01-31T18:00:00Z, from 1970 to 9999")

// parseExpiry returns the moment at which a token expires.
func parseExpiry(text string) (time.Time, error) {
	at, err := time.Parse(time.DateOnly, text)
	if err == nil {
		at = at.AddDate(0, 0, 1)
	} else {
		at, err = time.Parse(time.RFC3339, text)
	}
	at = at.UTC()
	// The zero time, which is in the year 1, stands for never.
	first, last := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	if err != nil || at.Before(first) || at.After(last) {
		return time.Time{}, fmt.Errorf("%+.40q is not a time: %w", text, errNoTime)
	}
	return at, nil
}

func formatExpiry(at time.Time) string {
	hour, minute, second := at.Clock()
	switch {
	case at.IsZero():
		return ""
	case hour == 0 && minute == 0 && second == 0 && at.Nanosecond() == 0:
		return at.AddDate(0, 0, -1).Format(time.DateOnly)
	}
	return at.Format(time.RFC3339Nano)
}
