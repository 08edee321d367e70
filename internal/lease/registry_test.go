package lease_test

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/lease"
)

const (
	ttl         = time.Minute
	identityTTL = time.Hour
)

// world is a Registry, and what is around it.
type world struct {
	*testing.T
	*lease.Registry

	mu       sync.Mutex // guards what follows
	saved    map[lease.Key]lease.Lease
	ends     map[*lease.Handle][]error
	watched  map[string]func(error)
	unowned  error // why no identity may have its port
	unwatchs int
}

func newWorld(t *testing.T) *world {
	w := &world{
		T: t, saved: make(map[lease.Key]lease.Lease), ends: make(map[*lease.Handle][]error), watched: make(map[string]func(error)),
	}
	w.Registry = lease.NewRegistry(lease.Config{
		Store: w, Ports: lease.NewPorts(anyPort), Log: slog.New(slog.DiscardHandler), TTL: ttl, IdentityTTL: identityTTL, Watch: w.watch,
	})
	return w
}

func (w *world) watch(identity string, _ int, ended func(error)) (stop func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watched[identity] = ended
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.unwatchs++
	}, w.unowned
}

func (w *world) Load() (all []lease.Lease, err error) {
	for _, l := range w.saved {
		all = append(all, l)
	}
	return all, nil
}

func (w *world) Save(l lease.Lease) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.saved[l.Key] = l
	return nil
}

func (w *world) Delete(k lease.Key) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.saved, k)
	return nil
}

func (*world) Close() error { return nil }

// lease gives a lease that is not acquired.
func (w *world) lease(identity, key string) *lease.Handle {
	return w.handle(lease.Lease{Key: lease.KeyOf(identity, key), Port: 1, Identity: identity})
}

func (w *world) handle(of lease.Lease) (h *lease.Handle) {
	h = w.New(of, "owner", func(reason error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ends[h] = append(w.ends[h], reason)
	})
	return h
}

// acquire gives a lease that is.
func (w *world) acquire(identity, key string) *lease.Handle {
	w.Helper()
	h := w.lease(identity, key)
	if got, err := w.Acquire(h); got != h || err != nil {
		w.Fatal(got, err)
	}
	return h
}

// wantEnd expects that a lease has ended so, and its endpoint knows, or that it stands.
func (w *world) wantEnd(h *lease.Handle, want error) {
	w.Helper()
	w.mu.Lock()
	got := w.ends[h]
	w.mu.Unlock()
	if want == nil && len(got) > 0 || want != nil && (len(got) != 1 || !errors.Is(got[0], want)) {
		w.Errorf("the lease has ended by %v, want %v", got, want)
	}
	if err := h.Resume(); !errors.Is(err, want) {
		w.Errorf("to be resumed fails by %v, want %v", err, want)
	}
}

// A lease ends if its owner is away for its time, and not if it is served, nor while it is
// about to be.
func TestLeaseExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for identity, after := range map[string]time.Duration{"": ttl, "a": identityTTL} {
			h := w.acquire(identity, "key")
			for _, step := range []func() error{h.Away, h.Resume, h.Away, func() error { return h.Activate(lease.Process{Instance: "1"}) }, h.Away} {
				if err := step(); err != nil {
					t.Fatal(err)
				}
				h.Save()
				<-time.After(after - time.Second)
			}
			if away := w.Away("owner"); len(away) != 1 || away[0] != h || h.AwayFor() != after-time.Second {
				t.Errorf("away are %v, for %v", away, h.AwayFor())
			}
			if err := h.Resume(); err != nil || len(w.Away("owner")) != 0 {
				t.Error(err, w.Away("owner"))
			}
			<-time.After(2 * after)
			w.wantEnd(h, nil)
			_ = h.Away()
			<-time.After(after + time.Second)
			w.wantEnd(h, lease.ErrExpired)
			if err := h.Activate(lease.Process{Instance: "1"}); !errors.Is(err, lease.ErrExpired) || w.Find(lease.KeyOf(identity, "key")) != nil {
				t.Errorf("a lease that has ended can be served: %v", err)
			}
			h.Release(lease.ErrExpired)
			if len(w.saved) != 0 || len(w.Away("owner")) != 0 {
				t.Errorf("there are %v, %v", w.saved, w.Away("owner"))
			}
		}
	})
}

// A lease of an identity that may not have the port any more ends while it is away, and
// is watched at no other time.
func TestLeaseIsRevoked(t *testing.T) {
	w := newWorld(t)
	h, gone := w.acquire("a", "key"), errors.New("gone")
	for range 2 {
		_ = h.Away()
		_ = h.Away() // which it is
		_ = h.Activate(lease.Process{Instance: "1"})
	}
	if w.unwatchs != 2 {
		t.Errorf("%d watches have ended, want 2", w.unwatchs)
	}
	w.watched["a"](gone) // too late
	w.wantEnd(h, nil)
	_ = h.Away()
	w.watched["a"](gone)
	w.wantEnd(h, gone)
	other := w.acquire("b", "key")
	w.unowned = gone
	if err := other.Away(); !errors.As(err, new(lease.Revoked)) || err.Error() != gone.Error() {
		t.Errorf("it is away with %v, want that it is revoked", err)
	}
	w.wantEnd(other, nil) // that is for its endpoint to do
	other.Release(gone)
}

// Of an owner who comes and whatever ends its lease one wins, and the other one is told.
func TestOneDecides(t *testing.T) {
	for i := range 200 {
		w := newWorld(t)
		h, evicted := w.acquire("", "key"), errors.New("evicted")
		_ = h.Away()
		var both sync.WaitGroup
		var ends [3]bool
		for n := range ends {
			both.Go(func() { ends[n] = h.EndAway(evicted) })
		}
		var err error
		both.Go(func() {
			if err = h.Resume(); err == nil {
				err = h.Activate(lease.Process{Instance: "1"})
			}
		})
		both.Wait()
		won := 0
		for _, ended := range ends {
			if ended {
				won++
			}
		}
		if (err == nil) != (won == 0) || won > 1 {
			t.Fatalf("round %d: %d have ended it, and its owner is told %v", i, won, err)
		}
		if won == 1 {
			w.wantEnd(h, evicted)
		} else {
			w.wantEnd(h, nil)
		}
	}
}

// One key has one lease, and one name one key.
func TestAcquire(t *testing.T) {
	w := newWorld(t)
	first := w.acquire("", "key")
	if got, err := w.Acquire(w.lease("", "key")); got != first || err != nil {
		t.Errorf("got %v, %v; want the first", got, err)
	}
	second := w.acquire("", "other")
	if err := errors.Join(first.Rename("web"), first.Rename("web")); err != nil {
		t.Error(err)
	}
	if err := second.Rename("web"); !errors.Is(err, lease.ErrNameTaken) {
		t.Error(err)
	}
	if err := errors.Join(first.Rename(""), second.Rename("web")); err != nil {
		t.Error(err)
	}
	second.Release(lease.ErrExpired)
	if err := w.MayName(lease.KeyOf("", "key"), "", "web"); err != nil {
		t.Error(err)
	}
	if err := second.Rename("other"); !errors.Is(err, lease.ErrExpired) {
		t.Error(err)
	}
	if _, err := w.Acquire(second); !errors.Is(err, lease.ErrExpired) {
		t.Error(err)
	}
}

// A process that was taken over from is known while another one serves, the last 16 of
// them are, and a lease that takes the place of another one knows them too.
func TestSupersededInstances(t *testing.T) {
	w := newWorld(t)
	h := w.acquire("", "key")
	for i := range 20 {
		if err := h.Activate(lease.Process{Instance: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	moved := w.lease("", "moved")
	moved.Succeed(h, lease.Process{Instance: "20"})
	_ = moved.Activate(lease.Process{Instance: "20"})
	for instance, want := range map[string][2]bool{"2": {}, "3": {true}, "4": {true, true}, "18": {true, true}, "19": {false, true}, "20": {}, "": {}} {
		if got := [2]bool{h.Superseded(lease.Process{Instance: instance}), moved.Superseded(lease.Process{Instance: instance})}; got != want {
			t.Errorf("%q is superseded: %v, want %v", instance, got, want)
		}
	}
	_ = h.Away()
	if h.Superseded(lease.Process{Instance: "3"}) {
		t.Error("it is superseded by nobody")
	}
}

// What was saved is away from the start on, or on the shelf until its owner has another
// port, and the shutdown of a relay ends nothing.
func TestRestoreLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i, key := range []string{"opens", "cannot"} {
			w.saved[lease.KeyOf("", key)] = lease.Lease{Key: lease.KeyOf("", key), Port: 1 + i}
		}
		var opened *lease.Handle
		save := w.Restore(func(l lease.Lease) (*lease.Handle, error) {
			if l.Port == 2 {
				return nil, errors.New("it cannot be opened")
			}
			opened = w.handle(l)
			return w.Acquire(opened)
		})
		save()
		for key, l := range w.saved {
			if left := time.Until(l.Until); left <= 0 || left > ttl {
				t.Errorf("lease %x stands for %v, want %v", key, left, ttl)
			}
		}
		if before := w.Before(lease.KeyOf("", "cannot"), 3); len(before) != 1 || before[0].Port != 2 {
			t.Errorf("on the shelf is %v, want port 2", before)
		}
		w.acquire("", "cannot")
		if before := w.Before(lease.KeyOf("", "cannot"), 3); len(before) != 0 {
			t.Errorf("on the shelf is %v, want nothing", before)
		}
		if away := w.Away("owner"); len(away) != 1 || away[0] != opened {
			t.Errorf("away are %v, want the one that opens", away)
		}
		opened.Suspend(errors.New("the relay is shutting down"))
		<-time.After(2 * ttl)
		if len(w.ends) != 0 || len(w.saved) != 2 {
			t.Errorf("%d leases have ended, and %d are kept", len(w.ends), len(w.saved))
		}
	})
}

// The relay clients of a group do not take over from each other, and each is known by its own
// key. Of those that have left, as many are remembered as a group can have twice.
func TestSupersededInGroup(t *testing.T) {
	w := newWorld(t)
	h := w.acquire("owner", "key")
	client := func(key string, instance string) lease.Process {
		return lease.Process{Key: lease.KeyOf("owner", key), Instance: instance}
	}
	activate := func(p lease.Process) {
		t.Helper()
		if err := h.Activate(p); err != nil {
			t.Fatal(err)
		}
	}
	want := func(p lease.Process, want bool) {
		t.Helper()
		if got := h.Superseded(p); got != want {
			t.Errorf("%x %s is superseded: %v, want %v", p.Key[:2], p.Instance, got, want)
		}
	}
	activate(client("a", "1"))
	activate(client("b", "2"))
	want(client("a", "1"), false)
	activate(client("a", "3"))
	want(client("a", "1"), true)
	want(client("b", "1"), false)
	moved := w.lease("owner", "moved")
	moved.Succeed(h, client("b", "4"))
	if err := moved.Activate(client("b", "4")); err != nil {
		t.Fatal(err)
	}
	if !moved.Superseded(client("b", "2")) || moved.Superseded(client("a", "1")) {
		t.Error("the lease that takes its place knows others")
	}
	h.Leave(lease.KeyOf("owner", "a"))
	want(client("a", "1"), false)
	for i := range 126 {
		activate(client(fmt.Sprint(i), "1"))
	}
	activate(client("a", "4")) // it is remembered that 1 was superseded there
	want(client("a", "1"), true)
	h.Leave(lease.KeyOf("owner", "a"))
	activate(client("new", "1"))
	activate(client("a", "5"))
	want(client("a", "1"), false)
}
