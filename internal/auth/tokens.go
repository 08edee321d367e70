package auth

import (
	"bufio"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/seed96252745/relay/internal/observe"
)

// Limits of a tokens file, so that a wrong path does not have the relay read for ever.
const (
	maxLine  = 4096 // bytes
	maxLines = 100_000
)

// The reasons why a token does not hold. Errors with more context wrap them.
var (
	// ErrUnknownToken is for a secret that belongs to nobody.
	ErrUnknownToken = errors.New("the token is unknown")
	// ErrExpired is for an identity that has expired.
	ErrExpired = observe.WithReason(errors.New("the token has expired"), observe.TokenExpired)
	// ErrRevoked is for an identity that is gone.
	ErrRevoked = observe.WithReason(errors.New("the token was revoked"), observe.TokenRevoked)
	// ErrReplaced is for an identity that has another secret.
	ErrReplaced = observe.WithReason(errors.New("the token was replaced by another one"), observe.TokenReplaced)
	// ErrChanged is for an identity that may do other things than before.
	ErrChanged = observe.WithReason(errors.New("what the token allows has changed"), observe.TokenChanged)
)

// Tokens are the content of a tokens file. They do not change, and may be used
// concurrently. Make them with Parse or Read.
type Tokens struct {
	all    []Identity
	byName map[string]*Identity
	// byHash maps what blind makes of a hash to its identity.
	byHash map[[sha256.Size]byte]*Identity
	byKey  map[string]*Identity // by SSH public keys, which are no secrets
	key    []byte               // of blind
}

// Parse parses tokens from r. Its errors begin with the name, which is that of the
// file, and the number of the line.
func Parse(name string, r io.Reader) (*Tokens, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, maxLine+len("\r\n")), maxLine+len("\r\n"))
	p := parser{settings: settings()}
	n := 0
	for lines.Scan() {
		n++
		if err := p.parseLine(n, lines.Text()); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("%s:%d: %w", name, n+1, errLongLine)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	tokens := &Tokens{all: p.identities, key: make([]byte, sha256.Size)}
	rand.Read(tokens.key) // it never fails
	if err := tokens.index(p.lines); err != nil {
		return nil, fmt.Errorf("%s:%w", name, err)
	}
	return tokens, nil
}

var errLongLine = fmt.Errorf("a line has at most %d bytes, and this one has more", maxLine)

// parser collects identities, and the line number of each.
type parser struct {
	settings   []setting
	identities []Identity
	lines      []int
}

func (p *parser) parseLine(n int, line string) error {
	if n > maxLines {
		return fmt.Errorf("a tokens file has at most %d lines", maxLines)
	}
	if len(line) > maxLine {
		return errLongLine
	}
	fields := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(fields) == 0 || fields[0][0] == '#' {
		return nil
	}
	id, err := p.parseIdentity(fields)
	if err != nil {
		return err
	}
	p.identities = append(p.identities, id)
	p.lines = append(p.lines, n)
	return nil
}

func (p *parser) parseIdentity(fields []string) (id Identity, err error) {
	if err := checkName(fields[0]); err != nil {
		return Identity{}, fmt.Errorf("field 1: %w", err)
	}
	if len(fields) == 1 {
		return Identity{}, fmt.Errorf("there is only a name: %s and 64 hexadecimal digits must follow it, or an SSH public key", hashPrefix)
	}
	id.Name = fields[0]
	n, err := id.parseCredentials(fields)
	if err != nil {
		return Identity{}, err
	}
	return id, p.parseSettings(&id, fields, n)
}

// parseSettings parses the fields from number n on.
func (p *parser) parseSettings(id *Identity, fields []string, n int) error {
	set := make(map[string]bool)
	for i, field := range fields[n:] {
		key, value, isSetting := strings.Cut(field, "=")
		if !isSetting {
			return errNoSetting(n+i+1, len(id.keys) > 0)
		}
		s, err := findSetting(p.settings, key)
		if err != nil {
			return fmt.Errorf("field %d: %w", n+i+1, err)
		}
		if set[key] {
			return fmt.Errorf("%s is given twice: write it once", key)
		}
		set[key] = true
		if err := s.set(id, value); err != nil {
			return fmt.Errorf("%s: %s", key, Conceal(err.Error()))
		}
	}
	return nil
}

// parseHash does not repeat text: it may be a misplaced secret.
func parseHash(text string) (hash [sha256.Size]byte, err error) {
	digits, isHash := strings.CutPrefix(text, hashPrefix)
	decoded, err := hex.DecodeString(digits)
	if !isHash || err != nil || len(decoded) != sha256.Size {
		return hash, fmt.Errorf("field 2: that is not a hash: it must be %s and 64 hexadecimal digits, or an SSH public key", hashPrefix)
	}
	hash = [sha256.Size]byte(decoded)
	if hash == hashOf("") {
		// A script hashes this for a variable that is not set.
		return hash, errors.New("the hash is that of an empty secret: make one with relay token new")
	}
	return hash, nil
}

// index makes the maps, and finds duplicates.
func (t *Tokens) index(lines []int) error {
	t.byName = make(map[string]*Identity, len(t.all))
	t.byHash = make(map[[sha256.Size]byte]*Identity, len(t.all))
	t.byKey = make(map[string]*Identity)
	lineOf := make(map[*Identity]int, len(t.all))
	for i := range t.all {
		id := &t.all[i]
		lineOf[id] = lines[i]
		if other := t.byName[id.Name]; other != nil {
			return fmt.Errorf("%d: line %d has the name %s already: each line needs its own", lines[i], lineOf[other], id.Name)
		}
		t.byName[id.Name] = id
		for _, key := range id.keys {
			if other := t.byKey[key]; other != nil {
				return fmt.Errorf("%d: line %d has the same SSH key: each line needs its own", lines[i], lineOf[other])
			}
			t.byKey[key] = id
		}
		if !id.HasSecret() {
			continue
		}
		blind := t.blind(id.hash)
		if other := t.byHash[blind]; other != nil {
			return fmt.Errorf("%d: line %d has the same hash: each line needs its own secret", lines[i], lineOf[other])
		}
		t.byHash[blind] = id
	}
	return nil
}

// blind turns a hash into a value that is unknown outside of this process.
//
// The time of a map look-up may reveal how much of its key is in the map. If the key
// were the hash of a secret, an attacker could choose it, by hashing secrets until a
// hash begins as wanted, and so learn, byte by byte, hashes that are in the file. A
// comparison with each of 100,000 hashes in constant time would take milliseconds, for
// anybody who asks. An attacker cannot choose a value that depends on a random key, and
// so learns nothing from the time.
func (t *Tokens) blind(hash [sha256.Size]byte) [sha256.Size]byte {
	mac := hmac.New(sha256.New, t.key)
	mac.Write(hash[:])
	return [sha256.Size]byte(mac.Sum(nil))
}

// Identify returns the identity of a secret. Errors wrap ErrUnknownToken or ErrExpired;
// the latter name the identity.
func (t *Tokens) Identify(secret string, now time.Time) (Identity, error) {
	hash := hashOf(secret)
	id := t.byHash[t.blind(hash)]
	if id == nil || subtle.ConstantTimeCompare(id.hash[:], hash[:]) != 1 {
		return Identity{}, ErrUnknownToken
	}
	if id.Expired(now) {
		return Identity{}, fmt.Errorf("%s: %w", id.Name, ErrExpired)
	}
	return *id, nil
}

// Check returns why an identity that was returned before no longer holds, or nil if it
// does. Errors wrap ErrRevoked, ErrReplaced, ErrExpired or ErrChanged. A changed expiry
// alone ends nothing: the expiry that is in force now counts.
func (t *Tokens) Check(id Identity, now time.Time) error {
	current := t.byName[id.Name]
	switch {
	case current == nil:
		return fmt.Errorf("%s: %w", id.Name, ErrRevoked)
	case id.shown == "" && (current.hash != id.hash || current.secret != id.secret), id.shown != "" && t.byKey[id.shown] != current:
		return fmt.Errorf("%s: %w", id.Name, ErrReplaced)
	case current.Expired(now):
		return fmt.Errorf("%s: %w", id.Name, ErrExpired)
	case !current.samePermissions(&id):
		return fmt.Errorf("%s: %w", id.Name, ErrChanged)
	}
	return nil
}

// All returns the identities, in the order of the file. The caller owns the slice.
func (t *Tokens) All() []Identity { return slices.Clone(t.all) }
