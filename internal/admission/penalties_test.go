package admission_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/admission"
)

// A source that guesses is banned for longer and longer, and no other source is.
func TestPenalties(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := admission.NewPenalties(20)
		a, b := source(t, "192.0.2.1"), source(t, "192.0.2.2")
		if p.Any() || p.Banned(a) > 0 {
			t.Error("banned without an offense")
		}
		pass(time.Minute + time.Second)
		for range 20 {
			if p.Penalize(a, admission.WrongID) > 0 {
				t.Error("banned for what is forgiven")
			}
		}
		want := time.Second
		for range 15 {
			for p.Penalize(a, admission.WrongID) == 0 { // what was forgiven since
				if p.Banned(a) > 0 {
					t.Fatal("Penalize did not return the ban")
				}
			}
			began := time.Now()
			for p.Banned(a) > 0 {
				if p.Penalize(a, admission.WrongID) > 0 {
					t.Error("banned twice at once")
				}
				pass(time.Second / 10)
			}
			if took := time.Since(began); took < want || took > want+time.Second/10 {
				t.Errorf("banned for %v, want %v", took, want)
			}
			want = min(2*want, 10*time.Minute)
		}
		if p.Banned(b) > 0 {
			t.Error("another source is banned")
		}
		pass(time.Hour)
		for p.Penalize(a, admission.WrongID) == 0 { // until it is too much again
			continue
		}
		pass(time.Second)
		if p.Banned(a) > 0 {
			t.Error("an old offense is never forgiven")
		}
	})
}

// The ids of the relay that ran before are forgiven, but not without end.
func TestPenaltiesAtStartup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := admission.NewPenalties(20)
		a := source(t, "192.0.2.1")
		wrongs := func() (n int) {
			for p.Penalize(a, admission.WrongID) == 0 {
				n++
			}
			return n
		}
		if n := wrongs(); n != 1000 {
			t.Errorf("%d are forgiven, want 1000", n)
		}
		pass(time.Hour)
		if n := wrongs(); n != 20 {
			t.Errorf("%d are forgiven later, want 20", n)
		}
	})
}

// A wrong token weighs a tenth of a wrong id.
func TestOffenses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := admission.NewPenalties(20)
		pass(2 * time.Minute)
		ids, tokens, both := source(t, "192.0.2.1"), source(t, "192.0.2.2"), source(t, "192.0.2.3")
		for source, tt := range map[admission.Source]struct {
			what admission.Offense
			want int
		}{ids: {admission.WrongID, 20}, tokens: {admission.WrongToken, 200}} {
			n := 0
			for p.Penalize(source, tt.what) == 0 {
				n++
			}
			if n != tt.want || p.Banned(source) != time.Second {
				t.Errorf("%d are forgiven, want %d; it is banned for %v", n, tt.want, p.Banned(source))
			}
		}
		for range 19 {
			p.Penalize(both, admission.WrongID)
		}
		for range 10 {
			p.Penalize(both, admission.WrongToken)
		}
		if p.Banned(both) > 0 || p.Penalize(both, admission.WrongToken) != time.Second {
			t.Error("ids and tokens do not count together")
		}
		if admission.NewPenalties(math.MaxInt).Penalize(ids, admission.WrongID) > 0 {
			t.Error("there is a limit where there is none")
		}
	})
}
