package admission_test

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/observe"
)

// deaf hears no events.
type deaf struct{}

func (deaf) Observe(observe.Event) {}

func source(t *testing.T, ip string) admission.Source {
	t.Helper()
	parsed := net.ParseIP(ip)
	if parsed == nil {
		t.Fatalf("%s is no address", ip)
	}
	return admission.SourceOf(&net.TCPAddr{IP: parsed, Port: 1234})
}

// peer is a source, and the slots that it has got.
type peer struct {
	*testing.T
	limiter *admission.HandshakeLimiter
	source  admission.Source
	evicted []int
	slots   []*admission.Slot
}

func peerOf(t *testing.T, h *admission.HandshakeLimiter, ip string) *peer {
	return &peer{T: t, limiter: h, source: source(t, ip)}
}

// connect sends one more connection, when so many are expected.
func (v *peer) connect(expected int) (ok bool, reason admission.Kind) {
	i := len(v.slots)
	slot, reason := v.limiter.Admit(v.source, expected, func() { v.evicted = append(v.evicted, i) })
	v.slots = append(v.slots, slot)
	return slot != nil, reason
}

// The oldest of a source makes room for its newest.
func TestHandshakesPerSource(t *testing.T) {
	h := admission.NewHandshakeLimiter(100, 3)
	v := peerOf(t, h, "192.0.2.1")
	for i := range 5 {
		ok, reason := v.connect(0)
		if full := i >= 3; !ok || full != (reason == admission.HandshakesPerSource) {
			t.Errorf("%d: got %v, %v", i, ok, reason)
		}
	}
	if len(v.evicted) != 2 || v.evicted[0] != 0 || v.evicted[1] != 1 {
		t.Errorf("%v were evicted, want 0 and 1", v.evicted)
	}
	for i, slot := range v.slots {
		if released := slot.Release(); released != (i >= 2) {
			t.Errorf("%d: Release returns %v", i, released)
		}
		if slot.Release() {
			t.Errorf("%d was released twice", i)
		}
	}
	if n := h.Len(); n != 0 {
		t.Errorf("%d slots are taken in the end", n)
	}
}

// However many come from few sources, a new source gets in.
func TestHandshakesKeepSlotsForNewcomers(t *testing.T) {
	const total = 256
	h := admission.NewHandshakeLimiter(total, 64)
	for range 2000 {
		for _, ip := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "2001:db8::1"} {
			peerOf(t, h, ip).connect(0)
		}
	}
	if n := h.Len(); n <= total/2 || n > total-total/8 {
		t.Errorf("%d of %d slots are taken; the last eighth is for newcomers", n, total)
	}
	for i := range total / 8 {
		v := peerOf(t, h, net.IPv4(198, 51, 100, byte(i)).String())
		if ok, reason := v.connect(0); !ok {
			t.Fatalf("newcomer %d is turned away: %v", i, reason)
		}
	}
	if n := h.Len(); n > total {
		t.Errorf("%d slots are taken, of %d", n, total)
	}
}

// When all slots are taken the oldest of all makes room, expected or not.
func TestHandshakesTotal(t *testing.T) {
	h := admission.NewHandshakeLimiter(4, 64)
	var all []*peer
	for i := range 6 {
		v := peerOf(t, h, net.IPv4(198, 51, 100, byte(i)).String())
		all = append(all, v)
		ok, reason := v.connect(i % 2) // some are expected
		if !ok || (i >= 4) != (reason == admission.Handshakes) {
			t.Errorf("%d: got %v, %v", i, ok, reason)
		}
	}
	for i, v := range all {
		if gone := len(v.evicted) == 1; gone != (i < 2) {
			t.Errorf("%d was evicted: %v", i, gone)
		}
	}
	if n := h.Len(); n != 4 {
		t.Errorf("%d slots are taken, of 4", n)
	}
}

// Connections that are expected are not turned away, as many as a source may have, and come
// beside its others.
func TestHandshakesExpected(t *testing.T) {
	const total, perSource = 100, 10
	h := admission.NewHandshakeLimiter(total, perSource)
	v := peerOf(t, h, "192.0.2.1")
	for range perSource {
		v.connect(0)
	}
	for i := range 8 { // until others of a source are turned away
		others := peerOf(t, h, net.IPv4(198, 51, 100, byte(i)).String())
		for range perSource {
			others.connect(0)
		}
	}
	for i := range perSource {
		if ok, reason := v.connect(1000); !ok || reason != 0 {
			t.Errorf("expected connection %d: got %v, %v", i, ok, reason)
		}
	}
	if _, reason := v.connect(1000); reason != admission.HandshakesPerSource {
		t.Errorf("one more than the source may have: %v", reason)
	}
	for _, slot := range v.slots {
		slot.Release()
	}
	if ok, reason := v.connect(1); !ok || reason != 0 {
		t.Errorf("in the end: %v, %v", ok, reason)
	}
}

// A source that exchanges keys all the time waits, and is turned away; others are not.
func TestAdmitExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := admission.NewController(admission.Limits{}.WithDefaults(), nil, deaf{})
		defer c.Close()
		peer := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}
		a, b := source(t, "192.0.2.1"), source(t, "192.0.2.2")
		admitted, latest := 0, time.Duration(0)
		for {
			delay, ok := c.AdmitExchange(peer, a)
			if !ok {
				break
			}
			admitted, latest = admitted+1, delay
		}
		if admitted < 200 || admitted > 300 || latest == 0 || latest > 3*time.Second {
			t.Errorf("%d at once, the last one after %v", admitted, latest)
		}
		if delay, ok := c.AdmitExchange(peer, b); !ok || delay > 0 {
			t.Errorf("another source waits %v, %v", delay, ok)
		}
		pass(time.Minute)
		if delay, ok := c.AdmitExchange(peer, a); !ok || delay > 0 {
			t.Errorf("a minute later it waits %v, %v", delay, ok)
		}
		if n := c.Counters.Of(admission.HandshakesPerSource); n != 1 {
			t.Errorf("counted %d", n)
		}
	})
}
