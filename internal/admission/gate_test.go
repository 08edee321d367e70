package admission_test

import (
	"net"
	"testing"

	"github.com/seed96252745/relay/internal/admission"
)

func source(t *testing.T, ip string) admission.Source {
	t.Helper()
	parsed := net.ParseIP(ip)
	if parsed == nil {
		t.Fatalf("%s is no address", ip)
	}
	return admission.SourceOf(&net.TCPAddr{IP: parsed, Port: 1234})
}

// visitors are those of one source that were let in.
type visitors struct {
	*testing.T
	gate    *admission.Gate
	source  admission.Source
	evicted []int
	passes  []*admission.Pass
}

func visitorsOf(t *testing.T, g *admission.Gate, ip string) *visitors {
	return &visitors{T: t, gate: g, source: source(t, ip)}
}

// enter sends one to the gate, when so many are expected.
func (v *visitors) enter(expected int) (ok bool, reason admission.Kind) {
	i := len(v.passes)
	pass, reason := v.gate.Enter(v.source, expected, func() { v.evicted = append(v.evicted, i) })
	v.passes = append(v.passes, pass)
	return pass != nil, reason
}

// The oldest of a source makes room for its newest.
func TestGatePerSource(t *testing.T) {
	g := admission.NewGate(100, 3)
	v := visitorsOf(t, g, "192.0.2.1")
	for i := range 5 {
		ok, reason := v.enter(0)
		if full := i >= 3; !ok || full != (reason == admission.HandshakesPerSource) {
			t.Errorf("%d: got %v, %v", i, ok, reason)
		}
	}
	if len(v.evicted) != 2 || v.evicted[0] != 0 || v.evicted[1] != 1 {
		t.Errorf("%v had to go, want 0 and 1", v.evicted)
	}
	for i, pass := range v.passes {
		if left := g.Leave(pass); left != (i >= 2) {
			t.Errorf("%d: leaving gives %v", i, left)
		}
		if g.Leave(pass) {
			t.Errorf("%d left twice", i)
		}
	}
	if n := g.Inside(); n != 0 {
		t.Errorf("%d are inside in the end", n)
	}
}

// However many come from few sources, whoever is new gets in.
func TestGateKeepsPlacesForNewcomers(t *testing.T) {
	const total = 256
	g := admission.NewGate(total, 64)
	for range 2000 {
		for _, ip := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "2001:db8::1"} {
			visitorsOf(t, g, ip).enter(0)
		}
	}
	if n := g.Inside(); n <= total/2 || n > total-total/8 {
		t.Errorf("%d of %d are inside; the last eighth is for newcomers", n, total)
	}
	for i := range total / 8 {
		v := visitorsOf(t, g, net.IPv4(198, 51, 100, byte(i)).String())
		if ok, reason := v.enter(0); !ok {
			t.Fatalf("newcomer %d is turned away: %v", i, reason)
		}
	}
	if n := g.Inside(); n > total {
		t.Errorf("%d are inside, of %d", n, total)
	}
}

// When all places are taken the oldest of all makes room, whoever it was.
func TestGateTotal(t *testing.T) {
	g := admission.NewGate(4, 64)
	var all []*visitors
	for i := range 6 {
		v := visitorsOf(t, g, net.IPv4(198, 51, 100, byte(i)).String())
		all = append(all, v)
		ok, reason := v.enter(i % 2) // some are expected
		if !ok || (i >= 4) != (reason == admission.Handshakes) {
			t.Errorf("%d: got %v, %v", i, ok, reason)
		}
	}
	for i, v := range all {
		if gone := len(v.evicted) == 1; gone != (i < 2) {
			t.Errorf("did %d have to go? %v", i, gone)
		}
	}
	if n := g.Inside(); n != 4 {
		t.Errorf("%d are inside, of 4", n)
	}
}

// Those who are expected are not turned away, as many as a source may have, and come
// beside its others.
func TestGateExpected(t *testing.T) {
	const total, perSource = 100, 10
	g := admission.NewGate(total, perSource)
	v := visitorsOf(t, g, "192.0.2.1")
	for range perSource {
		v.enter(0)
	}
	for i := range 8 { // until others of a source are turned away
		others := visitorsOf(t, g, net.IPv4(198, 51, 100, byte(i)).String())
		for range perSource {
			others.enter(0)
		}
	}
	for i := range perSource {
		if ok, reason := v.enter(1000); !ok || reason != 0 {
			t.Errorf("%d who is expected: got %v, %v", i, ok, reason)
		}
	}
	if _, reason := v.enter(1000); reason != admission.HandshakesPerSource {
		t.Errorf("one more than the source may send: %v", reason)
	}
	for _, pass := range v.passes {
		g.Leave(pass)
	}
	if ok, reason := v.enter(1); !ok || reason != 0 {
		t.Errorf("in the end: %v, %v", ok, reason)
	}
}
