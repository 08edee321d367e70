package roster_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/seed96252745/relay/internal/roster"
)

// user is what the owner of a roster holds of a user.
type user struct {
	roster.Place[user]
	name string
}

// joining is a join.Handle.
type joining struct {
	mu             sync.Mutex // guards what follows
	received, sent int64
	stopped        []error
}

func (j *joining) Moved() (aToB, bToA int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.received, j.sent
}

func (j *joining) Stop(reason error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stopped = append(j.stopped, reason)
}

// names returns the names of those who are listed, at most so many.
func names(r *roster.Roster[user], limit int) (names []string) {
	for _, seen := range r.Users(limit) {
		names = append(names, seen.User.name)
	}
	return names
}

// fill lists users with these names and the IDs 1, 2, 3.
func fill(r *roster.Roster[user], names ...string) (users []*user) {
	for i, name := range names {
		u := &user{name: name}
		r.Add(&u.Place, uint64(i)+1, u)
		users = append(users, u)
	}
	return users
}

func TestUsersAreListedInTheirOrder(t *testing.T) {
	var r roster.Roster[user]
	u := fill(&r, "a", "b", "c", "d")
	for _, step := range []struct {
		leaves *user
		want   []string
	}{
		{u[1], []string{"a", "c", "d"}},
		{u[3], []string{"a", "c"}},
		{u[0], []string{"c"}},
		{u[2], nil},
	} {
		r.Remove(&step.leaves.Place, 0, 0)
		if got := names(&r, 10); !slices.Equal(got, step.want) || r.Len() != len(step.want) {
			t.Errorf("without %s there are %q, %d in number; want %q", step.leaves.name, got, r.Len(), step.want)
		}
	}
	fill(&r, "e", "f")
	if got := names(&r, 10); !slices.Equal(got, []string{"e", "f"}) {
		t.Errorf("a roster that was empty again has %q", got)
	}
	for _, limit := range []int{-1, 0, 1} {
		if got := names(&r, limit); len(got) != max(0, limit) {
			t.Errorf("at most %d users are %q", limit, got)
		}
	}
}

func TestUsersHaveTheirBytesSoFar(t *testing.T) {
	var r roster.Roster[user]
	u := fill(&r, "a", "b")
	r.Joined(&u[1].Place, &joining{received: 3, sent: 5})
	seen := r.Users(10)
	if a := seen[0]; a.ID != 1 || a.Received != 0 || a.Sent != 0 {
		t.Errorf("a user before its join is seen as %+v", a)
	}
	if b := seen[1]; b.ID != 2 || b.Received != 3 || b.Sent != 5 {
		t.Errorf("a user with 3 and 5 bytes is seen as %+v", b)
	}
}

func TestTotalsCountThoseWhoHaveLeft(t *testing.T) {
	var r roster.Roster[user]
	u := fill(&r, "a", "b")
	h := &joining{received: 3, sent: 5}
	r.Joined(&u[0].Place, h)
	r.Joined(&u[1].Place, &joining{received: 10, sent: 20})
	want := roster.Totals{Users: 2, Connections: 2, Received: 13, Sent: 25}
	if got := r.Totals(); got != want {
		t.Errorf("the totals are %+v, want %+v", got, want)
	}
	r.Remove(&u[0].Place, 4, 6)
	want = roster.Totals{Users: 1, Connections: 2, Received: 14, Sent: 26}
	if got := r.Totals(); got != want {
		t.Errorf("after a user has left the totals are %+v, want %+v", got, want)
	}
}

var errStopped = errors.New("stopped")

func TestStopEndsOneUser(t *testing.T) {
	var r roster.Roster[user]
	u := fill(&r, "a", "b")
	var a, b joining
	r.Joined(&u[0].Place, &a)
	r.Joined(&u[1].Place, &b)
	if r.Stop(3, errStopped) {
		t.Error("a user who is not listed was stopped")
	}
	if !r.Stop(2, errStopped) || len(a.stopped) != 0 || !slices.Equal(b.stopped, []error{errStopped}) {
		t.Errorf("stopping b has stopped a for %v and b for %v", a.stopped, b.stopped)
	}
	r.Remove(&u[1].Place, 0, 0)
	if r.Stop(2, errStopped) {
		t.Error("a user who has left was stopped")
	}
}

// A user who is stopped before the join begins is stopped then, for the first reason.
func TestStopBeforeTheJoin(t *testing.T) {
	var r roster.Roster[user]
	u := fill(&r, "a")
	if !r.Stop(1, errStopped) || !r.Stop(1, errors.New("again")) {
		t.Error("a listed user cannot be stopped")
	}
	if seen := r.Users(1); seen[0].Received != 0 || seen[0].Sent != 0 {
		t.Errorf("the user is seen as %+v", seen[0])
	}
	var h joining
	r.Joined(&u[0].Place, &h)
	if !slices.Equal(h.stopped, []error{errStopped}) {
		t.Errorf("the join was stopped for %v, want once for the first reason", h.stopped)
	}
}

// Users come and go while others look.
func TestConcurrentUse(t *testing.T) {
	var r roster.Roster[user]
	const owners, each = 4, 200
	var coming, looking sync.WaitGroup
	for owner := range owners {
		coming.Go(func() {
			for i := range each {
				u := &user{name: fmt.Sprint(owner, i)}
				r.Add(&u.Place, uint64(owner*each+i), u)
				r.Joined(&u.Place, &joining{received: 1, sent: 2})
				r.Remove(&u.Place, 1, 2)
			}
		})
	}
	done := make(chan struct{})
	looking.Go(func() {
		var before roster.Totals
		for {
			now := r.Totals()
			if now.Connections < before.Connections || now.Received < before.Received || now.Sent < before.Sent {
				t.Errorf("the totals have gone from %+v to %+v", before, now)
			}
			before = now
			for _, seen := range r.Users(10) {
				r.Stop(seen.ID, errStopped)
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	coming.Wait()
	close(done)
	looking.Wait()
	if got, want := r.Totals(), (roster.Totals{Connections: owners * each, Received: owners * each, Sent: 2 * owners * each}); got != want {
		t.Errorf("the totals are %+v, want %+v", got, want)
	}
}

// A closed roster stops those who are there, and those who come.
func TestClose(t *testing.T) {
	var r roster.Roster[user]
	u := fill(&r, "a", "b")
	var a, b, c joining
	r.Joined(&u[0].Place, &a)
	r.Close(errStopped)
	r.Close(errors.New("again"))
	r.Joined(&u[1].Place, &b)
	late := &user{name: "c"}
	r.Add(&late.Place, 3, late)
	r.Joined(&late.Place, &c)
	for name, j := range map[string]*joining{"a": &a, "b": &b, "c": &c} {
		if len(j.stopped) == 0 || !errors.Is(j.stopped[0], errStopped) {
			t.Errorf("%s was stopped for %v", name, j.stopped)
		}
	}
}

func TestStopAllStopsThoseWhoMatch(t *testing.T) {
	var r roster.Roster[user]
	u := fill(&r, "a", "b")
	var a, b joining
	r.Joined(&u[0].Place, &a)
	r.StopAll(func(u *user) bool { return u.name == "b" }, errStopped) // before its join
	r.Joined(&u[1].Place, &b)
	r.StopAll(func(u *user) bool { return u.name == "c" }, errStopped)
	if len(a.stopped) != 0 || !slices.Equal(b.stopped, []error{errStopped}) {
		t.Errorf("a was stopped for %v, and b for %v", a.stopped, b.stopped)
	}
	if got, want := (roster.Totals{Users: 1, Connections: 2, Received: 3, Sent: 4}).Plus(roster.Totals{Users: 5, Connections: 6, Received: 7, Sent: 8}),
		(roster.Totals{Users: 6, Connections: 8, Received: 10, Sent: 12}); got != want {
		t.Errorf("the sum is %+v, want %+v", got, want)
	}
}
