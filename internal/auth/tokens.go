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
)

// Bounds of a tokens file, so that no mistaken path has the relay read for ever.
const (
	maxLine  = 4096 // bytes
	maxLines = 100_000
)

// What there may be to say about a token. Errors that say more wrap them.
var (
	// ErrUnknownToken is for a secret that is nobody's.
	ErrUnknownToken = errors.New("the token is unknown")
	// ErrExpired is for one whose time is over.
	ErrExpired = errors.New("the token has expired")
	// ErrRevoked is for an identity that is gone.
	ErrRevoked = errors.New("the token was revoked")
	// ErrReplaced is for an identity that has another secret.
	ErrReplaced = errors.New("the token was replaced by another one")
	// ErrChanged is for an identity that may do other things than before.
	ErrChanged = errors.New("what the token allows has changed")
)

// Tokens are what a tokens file says. They do not change, and may be used
// concurrently. Make them with Parse or Read.
type Tokens struct {
	all    []Identity
	byName map[string]*Identity
	// byHash has identities by what blind makes of their hashes.
	byHash map[[sha256.Size]byte]*Identity
	key    []byte // of blind
}

// Parse reads tokens from r. Its errors begin with the name, which is that of
// the file, and the number of the line.
func Parse(name string, r io.Reader) (*Tokens, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, maxLine+len("\r\n")), maxLine+len("\r\n"))
	p := parser{settings: settings()}
	n := 0
	for lines.Scan() {
		n++
		if err := p.line(n, lines.Text()); err != nil {
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

// parser collects identities, and the number of each one's line.
type parser struct {
	settings   []setting
	identities []Identity
	lines      []int
}

func (p *parser) line(n int, line string) error {
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
	id, err := p.identity(fields)
	if err != nil {
		return err
	}
	p.identities = append(p.identities, id)
	p.lines = append(p.lines, n)
	return nil
}

func (p *parser) identity(fields []string) (id Identity, err error) {
	if err := checkName(fields[0]); err != nil {
		return Identity{}, fmt.Errorf("field 1: %w", err)
	}
	if len(fields) == 1 {
		return Identity{}, fmt.Errorf("there is only a name: behind it has to be %s and 64 hexadecimal digits", hashPrefix)
	}
	id.Name = fields[0]
	if id.hash, err = parseHash(fields[1]); err != nil {
		return Identity{}, err
	}
	set := make(map[string]bool)
	for i, field := range fields[2:] {
		key, value, isSetting := strings.Cut(field, "=")
		if !isSetting {
			return Identity{}, fmt.Errorf("field %d has no '=': it has to be key=value", i+3)
		}
		s, err := find(p.settings, key)
		if err != nil {
			return Identity{}, fmt.Errorf("field %d: %w", i+3, err)
		}
		if set[key] {
			return Identity{}, fmt.Errorf("%s is given twice: write it once", key)
		}
		set[key] = true
		if err := s.set(&id, value); err != nil {
			return Identity{}, fmt.Errorf("%s: %s", key, Conceal(err.Error()))
		}
	}
	return id, nil
}

// parseHash does not say what it was given: that may be a secret in a wrong
// place.
func parseHash(text string) (hash [sha256.Size]byte, err error) {
	digits, isHash := strings.CutPrefix(text, hashPrefix)
	decoded, err := hex.DecodeString(digits)
	if !isHash || err != nil || len(decoded) != sha256.Size {
		return hash, fmt.Errorf("field 2: that is not a hash: it has to be %s and 64 hexadecimal digits", hashPrefix)
	}
	hash = [sha256.Size]byte(decoded)
	if hash == hashOf("") {
		// What a script makes of a variable that is not set.
		return hash, errors.New("the hash is that of an empty secret: make one with relay token new")
	}
	return hash, nil
}

// index makes the maps, and finds what is there twice.
func (t *Tokens) index(lines []int) error {
	t.byName = make(map[string]*Identity, len(t.all))
	t.byHash = make(map[[sha256.Size]byte]*Identity, len(t.all))
	lineOf := make(map[*Identity]int, len(t.all))
	for i := range t.all {
		id := &t.all[i]
		lineOf[id] = lines[i]
		if other := t.byName[id.Name]; other != nil {
			return fmt.Errorf("%d: line %d has the name %s already: each line needs its own", lines[i], lineOf[other], id.Name)
		}
		t.byName[id.Name] = id
		blind := t.blind(id.hash)
		if other := t.byHash[blind]; other != nil {
			return fmt.Errorf("%d: line %d has the same hash: each line needs its own secret", lines[i], lineOf[other])
		}
		t.byHash[blind] = id
	}
	return nil
}

// blind makes of a hash what nobody outside of this process can know.
//
// How long a look into a map takes may tell how much of the key there is in it.
// The hash of a secret would be such a key that a stranger can choose, by trying
// secrets at home until the hash begins as he likes; and then could learn, byte
// by byte, hashes that are in the file. Comparing with each of 100,000 hashes in
// constant time would take milliseconds, for anybody who asks. Of a key that was
// made with a random one he can choose nothing, and what he measures tells him
// nothing.
func (t *Tokens) blind(hash [sha256.Size]byte) [sha256.Size]byte {
	mac := hmac.New(sha256.New, t.key)
	mac.Write(hash[:])
	return [sha256.Size]byte(mac.Sum(nil))
}

// Identify gives the identity whose secret is shown. Errors wrap ErrUnknownToken
// or ErrExpired; the latter's say whose it was.
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

// Check tells whether an identity that was given before still holds. Errors wrap
// ErrRevoked, ErrReplaced, ErrExpired or ErrChanged. One whose time was made longer or shorter
// holds: what counts is the time that is in force now.
func (t *Tokens) Check(id Identity, now time.Time) error {
	is := t.byName[id.Name]
	switch {
	case is == nil:
		return fmt.Errorf("%s: %w", id.Name, ErrRevoked)
	case is.hash != id.hash:
		return fmt.Errorf("%s: %w", id.Name, ErrReplaced)
	case is.Expired(now):
		return fmt.Errorf("%s: %w", id.Name, ErrExpired)
	case !is.mayTheSame(&id):
		return fmt.Errorf("%s: %w", id.Name, ErrChanged)
	}
	return nil
}

// All gives the identities, in the order of the file. The slice is the caller's.
func (t *Tokens) All() []Identity { return slices.Clone(t.all) }
