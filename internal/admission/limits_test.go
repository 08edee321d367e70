package admission_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/admission"
)

func TestWithDefaults(t *testing.T) {
	got := admission.Limits{Descriptors: 1000}.WithDefaults()
	want := admission.Limits{
		HandshakeTimeout: 5 * time.Second, Handshakes: 256, HandshakesPerSource: 64, WrongClaims: 20,
		RefusalDelay:     3200 * time.Millisecond,
		TunnelsPerSource: 100, TunnelsPerNetwork: 1000, Users: math.MaxInt, UsersPerSource: 256, UsersPerSecond: 100,
		UserWait: 10 * time.Second, Waiting: 128,
		Streams: 4096, Sessions: 16, SessionsInAll: 125, Pending: 256, Idle: 256, IdleInAll: 250,
		Descriptors: 1000, LogLines: 10, Buffered: got.Buffered,
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if again := got.WithDefaults(); again != got {
		t.Errorf("a second time they are %+v", again)
	}
	if got.Buffered < 1<<20 {
		t.Errorf("%d bytes may be buffered", got.Buffered)
	}
	if of := (admission.Limits{}).WithDefaults().Descriptors; of < 64 {
		t.Errorf("the process has %d descriptors", of)
	}
	none := admission.Limits{Handshakes: -1, UserWait: -1, Descriptors: -1, Buffered: -1}.WithDefaults()
	if none.Handshakes != math.MaxInt || none.UserWait != math.MaxInt64 || none.Descriptors != math.MaxInt ||
		none.IdleInAll != math.MaxInt || none.SessionsInAll != math.MaxInt || none.Buffered != math.MaxInt64 {
		t.Errorf("no limits are %+v", none)
	}
}

func TestDescriptorBudget(t *testing.T) {
	d := admission.NewDescriptorBudget(1024)
	users := 0
	for d.TakeForUser(2) {
		users++
	}
	if users != (1024-256)/2 {
		t.Errorf("%d users, want %d", users, (1024-256)/2)
	}
	clients := 0
	for d.TakeForClient(2) {
		clients++
	}
	if clients != (256-64)/2 {
		t.Errorf("%d relay clients beside them, want %d", clients, (256-64)/2)
	}
	d.Give(2 * (users + clients))
	if d.Used() != 0 || !d.TakeForUser(2) {
		t.Error("what was given back cannot be taken")
	}
	few := admission.NewDescriptorBudget(64)
	for users = 0; few.TakeForUser(2); users++ {
		continue
	}
	if users != 24 {
		t.Errorf("of 64 descriptors users get %d pairs, want 27", users)
	}
	if !admission.NewDescriptorBudget(math.MaxInt).TakeForUser(2) {
		t.Error("without a limit none is left")
	}
}

func TestCounters(t *testing.T) {
	var c admission.Counters
	c.Add(admission.WrongClaims)
	c.Add(admission.WrongClaims)
	names := map[string]bool{}
	for kind, n := range c.All() {
		if want := map[bool]int64{true: 2}[kind == admission.WrongClaims]; n != want {
			t.Errorf("%v is %d, want %d", kind, n, want)
		}
		if name := kind.String(); name == "" || name == "none" || names[name] || strings.ContainsAny(name, " .") {
			t.Errorf("a kind is called %q", name)
		}
		names[kind.String()] = true
	}
	if len(names) != 30 {
		t.Errorf("%d kinds are listed, want 30", len(names))
	}
}

func TestRecentSet(t *testing.T) {
	r := admission.NewRecentSet[int]()
	for i := range 20000 {
		r.Add(i)
	}
	if !r.Contains(19999) || !r.Contains(19000) || r.Contains(1) || r.Contains(20000) {
		t.Error("the newest are not remembered, or the oldest are")
	}
}

func TestReserve(t *testing.T) {
	r := admission.NewReserve(2)
	defer r.Close()
	for i := range 3 {
		if lent := r.Lend(); lent != (i < 2) {
			t.Errorf("%d: Lend returns %v", i, lent)
		}
	}
	r.Fill()
	if !r.Lend() {
		t.Error("Fill gets nothing back")
	}
	r.Close()
	r.Fill()
	if r.Lend() {
		t.Error("something is left after Close")
	}
	if r.Empty() {
		t.Error("it is empty after Close, where nothing can come back")
	}
}

// A connection that may keep its descriptor leaves the last one to those that need it for
// a moment.
func TestReserveSpare(t *testing.T) {
	r := admission.NewReserve(2)
	defer r.Close()
	if !r.LendSpare() || r.LendSpare() {
		t.Error("of two descriptors not exactly one is spared")
	}
	if r.Empty() || !r.Lend() {
		t.Error("the last one is gone")
	}
	if !r.Empty() {
		t.Error("it is not empty")
	}
}
