package admin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/admission"
)

const (
	// wrongTokens is how many wrong tokens a source may try a minute. A scraper that has
	// an old one tries four times.
	wrongTokens = 10
	// wrongWait is how long a wrong token takes on loopback, where there are maxConns
	// connections: some 250 a second, of 2^80 or more.
	wrongWait = 250 * time.Millisecond
	// maxSessions is how many browsers may be logged in. The oldest has to log in again
	// when there are more.
	maxSessions = 32
	// sessionTime is a working day.
	sessionTime = 12 * time.Hour
)

// tokens says who has the token of a listener: programs that send it, and browsers that
// have logged in with it. Its methods may be called concurrently.
type tokens struct {
	hash  [sha256.Size]byte // of the token
	wrong *admission.Penalties

	mu       sync.Mutex                      // guards what follows
	sessions map[[sha256.Size]byte]time.Time // when each ends, by the hash of its cookie
}

func newTokens(token string) *tokens {
	return &tokens{
		hash: sha256.Sum256([]byte(token)), wrong: admission.NewPenalties(wrongTokens),
		sessions: make(map[[sha256.Size]byte]time.Time),
	}
}

// isToken reports whether this is the token, in a time that tells nothing of it.
func (t *tokens) isToken(token string) bool {
	hash := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(hash[:], t.hash[:]) == 1
}

var errUnauthorized = refuse(http.StatusUnauthorized, "unauthorized", "this needs the token of --adminTokenFile: send it as Authorization: Bearer <token>")

// refuseFor refuses a source that is banned for so long.
func refuseFor(wait time.Duration) *refusal {
	e := refuse(http.StatusTooManyRequests, "too_many_wrong_tokens", "too many wrong tokens came from this address: try again later")
	e.wait = wait
	return e
}

// open begins a session of a browser, and returns the value of its cookie.
func (t *tokens) open(now time.Time) (cookie string) {
	cookie = rand.Text()
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.sessions) >= maxSessions {
		t.dropOldest()
	}
	t.sessions[sha256.Sum256([]byte(cookie))] = now.Add(sessionTime)
	return cookie
}

func (t *tokens) dropOldest() {
	var oldest [sha256.Size]byte
	var end time.Time
	for hash, until := range t.sessions {
		if end.IsZero() || until.Before(end) {
			oldest, end = hash, until
		}
	}
	delete(t.sessions, oldest)
}

// isOpen reports whether a cookie is of a session.
func (t *tokens) isOpen(cookie string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	until, ok := t.sessions[sha256.Sum256([]byte(cookie))] // the hash keeps timing from telling how much of it is right
	return ok && now.Before(until)
}

// end ends the session of a cookie.
func (t *tokens) end(cookie string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.sessions, sha256.Sum256([]byte(cookie)))
}

// authorize returns an error for a request without the token, where there is one.
func (d *door) authorize(r *http.Request) error {
	if d.Owner || d.Token == "" {
		return nil
	}
	if cookie, err := r.Cookie(d.cookieName(r)); err == nil && d.tokens.isOpen(cookie.Value, time.Now()) {
		return nil
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return errUnauthorized
	}
	return d.tryToken(r, strings.TrimSpace(token))
}

// tryToken returns an error unless token is the token. A source that has tried too many
// others is not heard for a while. On loopback, where proxies and tunnels of SSH have
// everybody come from one address, each wrong one takes a while instead.
func (d *door) tryToken(r *http.Request, token string) error {
	source := sourceOf(r)
	if source.IsLoopback() {
		if d.tokens.isToken(token) {
			return nil
		}
		wait(r.Context(), wrongWait)
		return errUnauthorized
	}
	if ban := d.tokens.wrong.Banned(source); ban > 0 {
		return refuseFor(ban)
	}
	if d.tokens.isToken(token) {
		return nil
	}
	if ban := d.tokens.wrong.Penalize(source, admission.WrongID); ban > 0 {
		d.Log.Warn("too many wrong tokens for the admin API came from one address", "source", source.String(), "for", ban.String())
	}
	return errUnauthorized
}

// wait waits for d, or until ctx is done.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// sourceOf returns where a request comes from.
func sourceOf(r *http.Request) admission.Source {
	addr, _ := netip.ParseAddrPort(r.RemoteAddr) // zero is counted as one source
	return admission.SourceOf(net.TCPAddrFromAddrPort(addr))
}

// cookieName returns the name of the cookie. Browsers keep cookies by host, and not by
// port: a relay and a forwarder of one machine need two names.
func (d *door) cookieName(r *http.Request) string {
	name := "relay_admin"
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		name += "_" + strconv.Itoa(local.Port)
	}
	if r.TLS != nil {
		name = "__Host-" + name // from nowhere else than this host, over TLS
	}
	return name
}
