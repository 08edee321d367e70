// Package roster lists the users who are joined, with the bytes that each has moved so far,
// and stops one of them. A relay has a roster for each public port, a forwarder one for each
// service.
//
// It costs the path of the bytes nothing: a user enters its roster before its join begins,
// leaves it when that has ended, and in between only those who look at the roster do any
// work.
package roster

import (
	"sync"

	"github.com/seed96252745/relay/internal/join"
)

// Roster lists joined users, those who came first at its front. T is what its owner holds of
// each, whose fields the owner does not change while the user is listed. The zero value is
// an empty roster. Its methods may be called concurrently, and wait for no join.
type Roster[T any] struct {
	mu          sync.Mutex // guards what follows, and each Place
	first, last *Place[T]
	users       int
	ended       Totals // of users who have left
	closed      error  // why those who are added are stopped; nil before Close
}

// Place is the place of a user in a roster. It is part of what the owner holds of that user,
// so that a user costs no allocation of its own.
type Place[T any] struct {
	user       *T
	id         uint64
	prev, next *Place[T]
	handle     join.Handle // nil until Joined
}

// Seen is what a roster knows of a user at one moment.
type Seen[T any] struct {
	ID             uint64
	User           *T
	Received, Sent int64 // bytes from the user, the A of the join, and to the user
}

// Totals are sums over all users of a roster, those who have left included.
type Totals struct {
	Users          int // who are joined
	Connections    int64
	Received, Sent int64
}

// Plus returns the sums of both.
func (t Totals) Plus(o Totals) Totals {
	return Totals{t.Users + o.Users, t.Connections + o.Connections, t.Received + o.Received, t.Sent + o.Sent}
}

// Add lists a user who is about to be joined. Its ID must not be used again.
func (r *Roster[T]) Add(p *Place[T], id uint64, user *T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.id, p.user, p.prev = id, user, r.last
	if r.closed != nil {
		p.handle = earlyStop{r.closed}
	}
	if r.last == nil {
		r.first = p
	} else {
		r.last.next = p
	}
	r.last = p
	r.users++
}

// Joined notes the join of a listed user. The user may have left by then.
func (r *Roster[T]) Joined(p *Place[T], h join.Handle) {
	r.mu.Lock()
	early, stopped := p.handle.(earlyStop)
	p.handle = h
	r.mu.Unlock()
	if stopped {
		h.Stop(early.reason)
	}
}

// Remove strikes a user out whose join has ended after it had moved so many bytes.
func (r *Roster[T]) Remove(p *Place[T], received, sent int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.prev == nil {
		r.first = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		r.last = p.prev
	} else {
		p.next.prev = p.prev
	}
	p.prev, p.next = nil, nil
	r.users--
	r.ended.Connections++
	r.ended.Received += received
	r.ended.Sent += sent
}

// Users returns at most limit users, those first who came first.
func (r *Roster[T]) Users(limit int) []Seen[T] {
	r.mu.Lock()
	n := max(0, min(limit, r.users))
	seen, handles := make([]Seen[T], 0, n), make([]join.Handle, 0, n)
	for p := r.first; p != nil && len(seen) < n; p = p.next {
		seen, handles = append(seen, Seen[T]{ID: p.id, User: p.user}), append(handles, p.handle)
	}
	r.mu.Unlock()
	for i, h := range handles {
		seen[i].Received, seen[i].Sent = moved(h)
	}
	return seen
}

// Totals returns the sums. None of them but Users ever decreases.
func (r *Roster[T]) Totals() Totals {
	r.mu.Lock()
	t, handles := r.ended, make([]join.Handle, 0, r.users)
	t.Users = r.users
	for p := r.first; p != nil; p = p.next {
		handles = append(handles, p.handle)
	}
	r.mu.Unlock()
	t.Connections += int64(t.Users)
	for _, h := range handles {
		received, sent := moved(h)
		t.Received += received
		t.Sent += sent
	}
	return t
}

// Len returns how many users are joined.
func (r *Roster[T]) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.users
}

// Stop resets a user's connections for the given reason, and reports whether there is such
// a user.
func (r *Roster[T]) Stop(id uint64, reason error) bool {
	r.mu.Lock()
	p := r.first
	for p != nil && p.id != id {
		p = p.next
	}
	if p == nil {
		r.mu.Unlock()
		return false
	}
	h := p.handle
	if h == nil {
		p.handle = earlyStop{reason}
	}
	r.mu.Unlock()
	if h != nil {
		h.Stop(reason) // which may wait for the join to finish a turn
	}
	return true
}

// StopAll resets the connections of the users that match for the given reason.
func (r *Roster[T]) StopAll(match func(*T) bool, reason error) {
	r.mu.Lock()
	var handles []join.Handle
	for p := r.first; p != nil; p = p.next {
		switch {
		case !match(p.user):
		case p.handle == nil:
			p.handle = earlyStop{reason}
		default:
			handles = append(handles, p.handle)
		}
	}
	r.mu.Unlock()
	for _, h := range handles {
		h.Stop(reason)
	}
}

// Close resets the connections of all users for the given reason, also of those who are
// added from now on. Only the first reason counts for these.
func (r *Roster[T]) Close(reason error) {
	r.mu.Lock()
	if r.closed == nil {
		r.closed = reason
	}
	r.mu.Unlock()
	r.StopAll(func(*T) bool { return true }, reason)
}

// moved returns what a join has moved, which is nothing before it began.
func moved(h join.Handle) (received, sent int64) {
	if h == nil {
		return 0, 0
	}
	return h.Moved()
}

// earlyStop stands for the join of a user who was stopped before it began.
type earlyStop struct{ reason error }

// Moved returns zeros.
func (earlyStop) Moved() (aToB, bToA int64) { return 0, 0 }

// Stop does nothing: the first reason holds.
func (earlyStop) Stop(error) {}
