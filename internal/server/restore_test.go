package server_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/wire"
)

// memory is a store that outlives a relay, and says what it has done.
type memory struct {
	mu     sync.Mutex // guards what follows
	leases map[lease.Key]lease.Lease
}

func newMemory() *memory { return &memory{leases: make(map[lease.Key]lease.Lease)} }

func (m *memory) Load() (all []lease.Lease, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.leases {
		all = append(all, l)
	}
	return all, nil
}

func (m *memory) Save(l lease.Lease) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leases[l.Key] = l
	return nil
}

func (m *memory) Delete(k lease.Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.leases, k)
	return nil
}

func (*memory) Close() error { return nil }

func (m *memory) of(key string) lease.Lease {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.leases[lease.KeyOf("", keyOf(key))]
}

func (m *memory) len() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(len(m.leases))
}

// A relay that is started again keeps the ports for their owners, whether they were
// there or not, and has users wait.
func TestRestore(t *testing.T) {
	store, ports := newMemory(), freePorts(t, 3)
	config := func(c *server.Config) { c.Leases, c.Ports = store, ports }
	r := start(t, config)
	here := r.own(as("here", "1", "+name web"))
	away := r.own(as("away", "1"))
	r.leave(away)
	r.Close()

	r = start(t, config)
	if got := r.State().Ports; got != 2 {
		t.Errorf("%d ports are open, want 2", got)
	}
	r.wantRefusal(as("b", "1", fmt.Sprintf("+port %d", away.port)), wire.CodePortTaken)
	r.wantRefusal(as("b", "1", "+name web"), wire.CodeNameTaken)
	u := user(t, here)
	again, _ := r.try(as("here", "2", "+name web"))
	if again.port != here.port {
		t.Fatalf("its owner has port %d, want %d", again.port, here.port)
	}
	conntest.WantPair(t, u, again.next(t).serve(t))
	if again := r.own(as("away", "2")); again.port != away.port {
		t.Errorf("its owner has port %d, want %d", again.port, away.port)
	}
}

// What is kept is how it was last: an owner who was away once, and is there, has its
// port after any time.
func TestWhatIsKept(t *testing.T) {
	store := newMemory()
	r := start(t, func(c *server.Config) { c.Leases = store })
	tunnel := r.own(as("a", "1", "+name web"))
	kept := func(away bool, name string) {
		t.Helper()
		r.wantSoon("what is kept", 1, func() int64 {
			if l := store.of("a"); l.Port != tunnel.port || l.Name != name || l.Until.IsZero() == away {
				return 0
			}
			return 1
		})
	}
	kept(false, "web")
	r.leave(tunnel)
	kept(true, "web")
	r.own(as("a", "1", "+name api"))
	kept(false, "api")
	r.own(as("a", "2"))
	kept(false, "")
}

// Of what was kept, nothing comes back that is over, and nothing that cannot be
// had keeps the relay from starting.
func TestRestoreWhatCannotBe(t *testing.T) {
	store, ports := newMemory(), freePorts(t, 3)
	taken, err := listen(ports.First)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	key := func(name string) lease.Key { return lease.KeyOf("", keyOf(name)) }
	for _, l := range []lease.Lease{
		{Key: key("in-use"), Port: ports.First},
		{Key: key("over"), Port: ports.First + 1, Until: time.Now().Add(-time.Second)},
		{Key: key("good"), Port: ports.Last, Name: "a b"},
	} {
		_ = store.Save(l)
	}
	r := start(t, func(c *server.Config) { c.Leases, c.Ports = store, ports })
	wantRefused(t, ports.First+1)
	if l := store.of("over"); l.Port != 0 {
		t.Errorf("a lease that is over is kept: %+v", l)
	}
	if good := r.own(as("good", "1")); good.port != ports.Last {
		t.Errorf("it has port %d, want %d", good.port, ports.Last)
	}
	r.wantRefusal(as("in-use", "1"), wire.CodeNotOpen)
}

// A lease that is over is forgotten; one whose relay is closed is not.
func TestLeaseIsForgotten(t *testing.T) {
	store := newMemory()
	r := start(t, func(c *server.Config) { c.Leases, c.Lease = store, 50*time.Millisecond })
	tunnel := r.own(as("a", "1"))
	r.leave(tunnel)
	r.wantSoon("leases that are kept", 0, store.len)
	r.own(as("b", "1"))
	r.Close()
	if n := store.len(); n != 1 {
		t.Errorf("%d leases are kept, want 1", n)
	}
}

// failing is a store on a disk that is full.
type failing struct{ lease.Forget }

func (failing) Save(lease.Lease) error { return fmt.Errorf("no space") }

// Who cannot be remembered is served all the same.
func TestLeaseThatCannotBeKept(t *testing.T) {
	r := start(t, func(c *server.Config) { c.Leases = failing{} })
	tunnel := r.own(as("a", "1"))
	r.leave(tunnel)
	if again := r.own(as("a", "1")); again.port != tunnel.port {
		t.Errorf("it has port %d, want %d", again.port, tunnel.port)
	}
}

// A relay whose ports are restricted opens no others, even if they are leased.
func TestRestoreWithOtherPorts(t *testing.T) {
	store, ports := newMemory(), freePorts(t, 4)
	low, high := ports, ports
	low.Last, high.First = ports.First+1, ports.First+2
	config := func(of port.Range) func(*server.Config) {
		return func(c *server.Config) {
			c.Leases, c.Ports = store, of
			known(auth.Identity{}, auth.Identity{Name: "a"}, auth.Identity{Name: "b", Ports: port.Set{low}})(c)
		}
	}
	r := start(t, config(low))
	nobodys, as1 := r.own(as("a", "1")), r.own(as("a", "1", "+token a"))
	r.Close()
	r = start(t, config(high))
	if again := r.own(as("a", "1")); again.port < high.First {
		t.Errorf("it has port %d, and had %d; want one of %v", again.port, nobodys.port, high)
	}
	if again := r.own(as("a", "1", "+token a")); again.port < high.First {
		t.Errorf("it has port %d, and had %d; want one of %v", again.port, as1.port, high)
	}
	wantRefused(t, nobodys.port)
	wantRefused(t, as1.port)
	b := r.own(as("b", "1", "+token b")) // it may have them, wherever the others are
	r.Close()
	r = start(t, config(high))
	if again := r.own(as("b", "1", "+token b")); again.port != b.port {
		t.Errorf("it has port %d, want %d", again.port, b.port)
	}
}

// Strangers who make lease upon lease do not keep the disk busy: what is too much is
// not kept.
func TestTooManyLeasesAreNotKept(t *testing.T) {
	store := newMemory()
	r := start(t, func(c *server.Config) {
		c.Leases, c.Ports = store, freePorts(t, 40)
		c.Limits.TunnelsPerSource = -1
	})
	for i := range 40 {
		r.own(as(fmt.Sprint("key", i), "1"))
	}
	kept, err := store.Load()
	if err != nil || len(kept) < 20 || len(kept) > 35 {
		t.Errorf("%d of 40 are kept, %v; want about 20", len(kept), err)
	}
}

// A lease that nobody serves ends, however often the relay is started meanwhile.
func TestRestartsDoNotRenewALease(t *testing.T) {
	store, ports := newMemory(), freePorts(t, 3)
	config := func(c *server.Config) { c.Leases, c.Ports = store, ports }
	r := start(t, config)
	r.own(as("a", "1")) // and is there when the relay ends
	r.Close()
	var until time.Time
	for range 3 {
		r = start(t, config)
		r.wantSoon("ends that are kept", 1, func() int64 {
			if store.of("a").Until.IsZero() {
				return 0
			}
			return 1
		})
		r.Close()
		if is := store.of("a").Until; until.IsZero() {
			until = is
		} else if !is.Equal(until) {
			t.Errorf("the lease is over %v later than after the start before", is.Sub(until))
		}
	}
}

// A port that was restored counts against its owner, once that has come, whom nobody
// keeps out of it: neither its own later tunnels nor its neighbors'.
func TestRestoredPortCounts(t *testing.T) {
	store, ports := newMemory(), freePorts(t, 6)
	config := func(c *server.Config) { c.Leases, c.Ports, c.Limits.TunnelsPerSource = store, ports, 2 }
	r := start(t, config)
	one, two := r.own(as("one", "1")), r.own(as("two", "1"))
	r.Close()
	r = start(t, config)
	r.own(as("three", "1"))
	if again := r.own(as("two", "1")); again.port != two.port {
		t.Errorf("it has port %d, want %d", again.port, two.port)
	}
	r.wantRefusal(as("four", "1"), wire.CodeLimit)
	if again := r.own(as("one", "1")); again.port != one.port {
		t.Errorf("it has port %d, want %d", again.port, one.port)
	}
	if n := r.State().Ports; n != 3 {
		t.Errorf("%d ports are open, want 3", n)
	}
	r.wantRefusal(as("four", "1"), wire.CodeLimit)
}

// Neighbors who have as many tunnels as their network may do not keep the owner of a
// restored port out.
func TestNeighborsOfARestoredPort(t *testing.T) {
	store, ports := newMemory(), freePorts(t, 6)
	config := func(c *server.Config) { c.Leases, c.Ports, c.Limits.TunnelsPerNetwork = store, ports, 2 }
	r := start(t, config)
	mine := r.own(as("mine", "1"))
	r.Close()
	r = start(t, config)
	register := func(ip, lines string) (answer string) {
		conn := dialFrom(t, ip, r.addr)
		conntest.Write(t, conn, lines)
		if answer = r.answer(conn); answer[0] != '-' {
			<-r.fake.tunnels
		}
		return answer
	}
	for _, ip := range []string{"127.0.0.7", "127.0.0.8"} {
		if answer := register(ip, "multiplex\n"); answer[0] == '-' {
			t.Fatalf("a neighbor is refused: %s", answer)
		}
	}
	if answer := register("127.0.0.9", as("mine", "1")); answer != strconv.Itoa(mine.port) {
		t.Errorf("the owner is answered by %q, want its port %d", answer, mine.port)
	}
	for _, ip := range []string{"127.0.0.9", "127.0.0.10"} {
		if answer := register(ip, "multiplex\n"); !strings.HasPrefix(answer, "-"+wire.CodeLimit) {
			t.Errorf("one more of the network is answered by %q", answer)
		}
	}
}

// And its owner may leave it, and come back.
func TestOwnerMovesFromARestoredPort(t *testing.T) {
	store, ports := newMemory(), freePorts(t, 2)
	config := func(c *server.Config) { c.Leases, c.Ports = store, ports }
	first, last := as("a", "1", fmt.Sprintf("+port %d", ports.First)), as("a", "1", fmt.Sprintf("+port %d", ports.Last))
	r := start(t, config)
	r.own(first)
	r.Close()
	r = start(t, config)
	for _, lines := range []string{first, last, first} {
		r.own(lines)
	}
	r.Close()
	r = start(t, config) // and this time it comes for the other one
	for _, lines := range []string{last, first} {
		r.own(lines)
	}
}

// Owners take no more descriptors when they come than their ports have.
func TestRestoredPortsAreAllThereIsRoomFor(t *testing.T) {
	const owners = 4
	store, ports := newMemory(), freePorts(t, 6)
	config := func(c *server.Config) {
		c.Leases, c.Ports, c.Limits.Descriptors = store, ports, 2*owners+1
	}
	r := start(t, config)
	for i := range owners {
		if _, refusal := r.try(as(strconv.Itoa(i), "1")); refusal != "" {
			t.Fatal(refusal)
		}
	}
	r.wantSoon("leases that are kept", owners, store.len)
	r.Close()
	r = start(t, config)
	for i := range owners {
		if _, refusal := r.try(as(strconv.Itoa(i), "1")); refusal != "" {
			t.Errorf("owner %d is refused: %s", i, refusal)
		}
	}
}

// slowDisk is a store whose first save of an owner who is away takes its time.
type slowDisk struct {
	*memory
	first       sync.Once
	begun, goOn chan struct{}
}

func (s *slowDisk) Save(l lease.Lease) error {
	if !l.Until.IsZero() {
		s.first.Do(func() { close(s.begun); <-s.goOn })
	}
	return s.memory.Save(l)
}

// What is kept of an owner is the last port, however late the disk is with the one
// before.
func TestLeaseIsTakenAnewWhileTheOldOneIsSaved(t *testing.T) {
	store := &slowDisk{memory: newMemory(), begun: make(chan struct{}), goOn: make(chan struct{})}
	r := start(t, func(c *server.Config) { c.Leases, c.Lease = store, 50*time.Millisecond })
	r.own(as("a", "1", "+name web")).end()
	<-store.begun
	r.wantSoon("names that are free", 1, func() int64 { // the lease is over, if not for the disk
		if _, refusal := r.try(as("b", "1", "+name web")); refusal != "" {
			return 0
		}
		return 1
	})
	registered := make(chan *fakeTunnel, 1)
	conn := r.request(as("a", "1")) // its lease has to be saved before anybody is told of it
	go func() { registered <- <-r.fake.tunnels }()
	close(store.goOn)
	newer := next(t, "tunnel", registered)
	r.answer(conn)
	r.join(newer)
	r.wantSoon("the port that is kept", int64(newer.port), func() int64 { return int64(store.of("a").Port) })
	r.Close()
	if l := store.of("a"); l.Port != newer.port {
		t.Errorf("%+v is kept, want port %d", l, newer.port)
	}
}
