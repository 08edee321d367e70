package history_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/history"
	"github.com/seed96252745/relay/internal/observe"
)

func addr(port int) net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: port} }

// done is the event of a user who has ended, whose port is a number to know it by.
func done(number int) observe.Event {
	return observe.Event{
		Name: observe.UserDone, User: addr(number), Tunnel: observe.Tunnel{ID: uint64(1 + number%2), Port: 20001, Identity: "db1", Name: "web"},
		Waited: time.Second, Duration: 2 * time.Second, Received: 3, Sent: 4, EndedBy: observe.ByUser, How: observe.Fin,
	}
}

func addresses(all []api.Ended) (numbers []string) {
	for _, e := range all {
		numbers = append(numbers, e.Address)
	}
	return numbers
}

func TestEndedHasWhatEventsSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := history.New()
		h.Observe(done(7))
		h.Observe(observe.Event{
			Name: observe.UserReset, User: addr(8), Tunnel: observe.Tunnel{ID: 3}, Waited: time.Second,
			Reason: observe.LimitMet, Limit: "usersPerSource", Err: errors.New("why"),
		})
		h.Observe(observe.Event{Name: observe.UserDone, DialTime: time.Minute}) // as a forwarder has it
		now := time.Now().UTC()
		want := []api.Ended{
			{At: now, Joined: true, WaitedSeconds: 60},
			{At: now, Tunnel: "t2", Port: 20001, Identity: "db1", Name: "web", Address: "192.0.2.1:7", Joined: true, WaitedSeconds: 1, DurationSeconds: 2,
				Received: 3, Sent: 4, EndedBy: "user", How: "fin"},
			{At: now, Tunnel: "t3", Address: "192.0.2.1:8", WaitedSeconds: 1, Reason: "limit", Limit: "users_per_source", Error: "why"},
		}
		if got := h.Ended(0, 10); !slices.Equal(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if got := h.Ended(3, 10); !slices.Equal(got, want[2:]) {
			t.Errorf("of one tunnel got %+v", got)
		}
		for limit, n := range map[int]int{-1: 0, 0: 0, 1: 1, 2: 2, 100: 3} {
			if got := h.Ended(0, limit); len(got) != n || got == nil {
				t.Errorf("at most %d are %d", limit, len(got))
			}
		}
	})
}

// The last 10,000 are there, whatever else happens, and the latest is first.
func TestEndedKeepsTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := history.New()
		const kept, all = 10_000, 25_000
		for i := range all {
			h.Observe(done(i))
			pass(time.Millisecond)
			h.Observe(observe.Event{Name: observe.UserReset, Reason: observe.Paused})
			pass(time.Millisecond)
		}
		ends := slices.DeleteFunc(h.Ended(0, 1<<30), func(e api.Ended) bool { return !e.Joined })
		if len(ends) < kept {
			t.Fatalf("there are %d, want %d", len(ends), kept)
		}
		for i, e := range ends {
			if want := addr(all - 1 - i).String(); e.Address != want {
				t.Fatalf("%d is %s, want %s", i, e.Address, want)
			}
		}
		mixed := h.Ended(0, 4)
		for i, joined := range []bool{false, true, false, true} {
			if mixed[i].Joined != joined {
				t.Errorf("%d of the last is %+v", i, mixed[i])
			}
		}
		if !slices.Equal(addresses(h.Ended(1, 2)), []string{addr(all - 2).String(), addr(all - 4).String()}) {
			t.Errorf("the last two of one tunnel are %q", addresses(h.Ended(1, 2)))
		}
	})
}

func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := history.New()
		for _, e := range []observe.Event{
			{Name: observe.RequestRefused, Source: netip.MustParsePrefix("192.0.2.1/32"), Code: "port-taken", Err: errors.New("no"),
				Tunnel: observe.Tunnel{RelayClient: addr(9), Identity: "db1"}},
			{Name: observe.SourceBanned, Source: netip.MustParsePrefix("2001:db8::/64")},
			{Name: observe.ProxyHeaderFailed, Proxy: addr(10), Reason: observe.NoProxyHeader},
			{Name: observe.HandshakesLimited, Source: netip.MustParsePrefix("192.0.2.1/32"), Limit: "handshakesPerSource"},
			{Name: observe.TunnelOpened},
		} {
			h.Observe(e)
			pass(time.Second)
		}
		want := []api.Refusal{
			{Event: "handshakes_limited", Source: "192.0.2.1", Reason: "handshakes_per_source"},
			{Event: "proxy_header_failed", Source: "192.0.2.1:10", Reason: "no_proxy_header"},
			{Event: "source_banned", Source: "2001:db8::/64"},
			{Event: "request_refused", Source: "192.0.2.1:9", Identity: "db1", Code: "port-taken", Error: "no"},
		}
		for i := range want {
			want[i].At = time.Now().UTC().Add(-time.Duration(i+2) * time.Second)
		}
		if got := h.Refusals(10); !slices.Equal(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if got := h.Refusals(2); !slices.Equal(got, want[:2]) {
			t.Errorf("the last two are %+v", got)
		}
	})
}

// Causes are those of the last 60 minutes, each in its own.
func TestCauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := history.New()
		first := time.Now().UTC()
		for i := range 90 {
			for range i + 1 {
				h.Observe(done(i))
			}
			h.Observe(observe.Event{Name: observe.UserReset, Reason: observe.WaitTimeout})
			h.Observe(observe.Event{Name: observe.RequestRefused, Code: "limit"})
			h.Observe(observe.Event{Name: observe.RequestRefused, Reason: observe.UnknownID})
			h.Observe(observe.Event{Name: observe.HandshakeFailed, Reason: observe.HandshakeEnded})
			h.Observe(observe.Event{Name: observe.HandshakesLimited})
			if i < 89 {
				pass(time.Minute)
			}
		}
		minutes := h.Causes().Minutes
		if len(minutes) != 60 {
			t.Fatalf("there are %d minutes", len(minutes))
		}
		for i, m := range minutes {
			want := api.Minute{
				At: first.Add(time.Duration(30+i) * time.Minute), Ends: map[string]int64{"user/fin": int64(31 + i)}, Resets: map[string]int64{"wait_timeout": 1},
				Refused: map[string]int64{"limit": 1, "unknown_id": 1, "handshake_ended": 1, "handshakes_limited": 1},
			}
			if fmt.Sprint(m) != fmt.Sprint(want) {
				t.Fatalf("minute %d is %v, want %v", i, m, want)
			}
		}
		pass(2 * time.Hour)
		for _, m := range h.Causes().Minutes {
			if len(m.Ends)+len(m.Resets)+len(m.Refused) > 0 || m.Ends == nil {
				t.Errorf("after two hours there is %v", m)
			}
		}
	})
}

// What is no identifier takes no memory without end.
func TestCausesAreBounded(t *testing.T) {
	h := history.New()
	const all = 10_000
	for i := range all {
		h.Observe(observe.Event{Name: observe.UserReset, Reason: observe.Reason(fmt.Sprint(i))})
	}
	different, sum := 0, int64(0)
	for _, m := range h.Causes().Minutes {
		different += len(m.Resets)
		for _, n := range m.Resets {
			sum += n
		}
	}
	if different > 400 || sum != all { // the test may take longer than a minute
		t.Errorf("there are %d causes of %d resets", different, sum)
	}
}

// An event allocates nothing, but for the block of a few hundred that it may begin.
func TestAllocations(t *testing.T) {
	h := history.New()
	events := []observe.Event{
		done(1), {Name: observe.UserReset, User: addr(1), Reason: observe.LimitMet, Limit: "users"},
		{Name: observe.RequestRefused, Tunnel: observe.Tunnel{RelayClient: addr(2)}, Code: "limit"},
		{Name: observe.HandshakeFailed, Tunnel: observe.Tunnel{RelayClient: addr(2)}, Reason: observe.HandshakeEnded},
	}
	all := func() {
		for _, e := range events {
			h.Observe(e)
		}
	}
	all()
	if n := testing.AllocsPerRun(20_000, all); n > 0 {
		t.Errorf("an event allocates: %v for %d of them", n, len(events))
	}
}

// Readers and events come at once.
func TestConcurrentUse(t *testing.T) {
	h := history.New()
	var writing sync.WaitGroup
	for range 4 {
		writing.Go(func() {
			for i := range 5_000 {
				h.Observe(done(i))
				h.Observe(observe.Event{Name: observe.RequestRefused})
			}
		})
	}
	for range 20 {
		before := time.Now().Add(time.Hour)
		for _, e := range h.Ended(0, 1<<20) {
			if e.Address == "" || e.Sent != 4 {
				t.Fatalf("got %+v", e)
			}
			if e.At.Sub(before) > time.Minute {
				t.Fatalf("%v is after %v", e.At, before)
			}
			before = e.At
		}
		h.Refusals(10)
		h.Causes()
	}
	writing.Wait()
	if n := len(h.Ended(0, 1<<20)); n < 10_000 {
		t.Errorf("%d are kept", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	h, e := history.New(), done(1)
	b.ReportAllocs()
	for b.Loop() {
		h.Observe(e)
	}
}

// Each connection has its own tunnel and error, however many of both there are, and also
// when those before it are forgotten.
func TestEndedOfManyTunnels(t *testing.T) {
	h := history.New()
	const all = 25_000
	for i := range all {
		e := done(i % 60_000)
		e.Tunnel = observe.Tunnel{ID: uint64(i/3 + 1), Port: 20000 + i/3, Identity: fmt.Sprint("id", i/3), Name: fmt.Sprint("name", i/3)}
		if i%1000 == 0 {
			e.Err = fmt.Errorf("error %d", i)
		}
		h.Observe(e)
	}
	ends := h.Ended(0, 10_000)
	if len(ends) != 10_000 {
		t.Fatalf("there are %d", len(ends))
	}
	for k, e := range ends {
		i := all - 1 - k
		failure := ""
		if i%1000 == 0 {
			failure = fmt.Sprintf("error %d", i)
		}
		if e.Tunnel != fmt.Sprint("t", i/3+1) || e.Port != 20000+i/3 || e.Identity != fmt.Sprint("id", i/3) || e.Name != fmt.Sprint("name", i/3) || e.Error != failure {
			t.Fatalf("%d is %+v", i, e)
		}
	}
	last := uint64((all-1)/3 + 1)
	if got := h.Ended(last, 10); len(got) == 0 || len(got) > 3 || got[0].Tunnel != api.TunnelID(last) {
		t.Errorf("of the last tunnel there is %+v", got)
	}
}

// Addresses of all kinds come back as they were.
func TestAddresses(t *testing.T) {
	h := history.New()
	want := []string{"192.0.2.1:80", "[2001:db8::1]:443", "0.0.0.0:0", "[::]:1", ""}
	for _, text := range want {
		e := observe.Event{Name: observe.UserDone}
		if text != "" {
			e.User = net.TCPAddrFromAddrPort(netip.MustParseAddrPort(text))
		}
		h.Observe(e)
	}
	slices.Reverse(want)
	if got := addresses(h.Ended(0, 10)); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What is no identifier takes no memory without end.
func TestWordsAreBounded(t *testing.T) {
	h := history.New()
	for i := range 1000 {
		h.Observe(observe.Event{Name: observe.UserReset, Reason: observe.Reason(fmt.Sprint("reason", i))})
	}
	if got := h.Ended(0, 1000); len(got) != 1000 || got[999].Reason != "reason0" || got[0].Reason == "" {
		t.Errorf("there are %d, from %+v to %+v", len(got), got[len(got)-1], got[0])
	}
}

// pass lets time pass, in a bubble of synctest.
func pass(d time.Duration) { <-time.After(d) }
