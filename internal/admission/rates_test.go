package admission_test

import (
	"fmt"
	"math"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/admission"
)

// pass lets time pass in a bubble of synctest, where it costs none.
func pass(d time.Duration) { <-time.After(d) }

func TestSources(t *testing.T) {
	s := admission.NewSources(2)
	a, b := source(t, "192.0.2.1"), source(t, "192.0.2.2")
	for i := range 3 {
		if in := s.Enter(a); in != (i < 2) {
			t.Errorf("%d of one source: let in is %v", i, in)
		}
	}
	if !s.Enter(b) {
		t.Error("another source is kept out")
	}
	s.Leave(a)
	if !s.Enter(a) || s.Enter(a) {
		t.Error("the place of one who left is not the next one's")
	}
}

func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := admission.NewRates(10, 20, 2)
		a := source(t, "192.0.2.1")
		allowed := func(n int) (got int) {
			for range n {
				if r.Allow(a) {
					got++
				}
			}
			return got
		}
		if got := allowed(50); got != 20 {
			t.Errorf("%d at once, want 20", got)
		}
		pass(time.Second)
		if got := allowed(50); got != 10 {
			t.Errorf("%d after a second, want 10", got)
		}
		for i := range 2 {
			if !r.Allow(source(t, fmt.Sprintf("198.51.100.%d", i))) {
				t.Error("another source is held up")
			}
		}
		if got := allowed(50); got != 20 {
			t.Errorf("%d of a source that was forgotten, want 20", got)
		}
		r.Set(1000, 2000)
		if got := allowed(50); got != 0 {
			t.Errorf("%d at once with another figure, want none", got)
		}
		pass(time.Second)
		if got := allowed(3000); got != 1000 {
			t.Errorf("%d after a second with another figure, want 1000", got)
		}
	})
}

// What comes too fast may wait, and what may not takes nothing.
func TestRatesTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := admission.NewRates(10, 20, 2)
		a := source(t, "192.0.2.1")
		for i := range 30 {
			want := time.Duration(max(i-19, 0)) * time.Second / 10
			if wait, ok := r.Take(a, time.Second); !ok || wait != want {
				t.Errorf("number %d waits %v, %t; want %v", i, wait, ok, want)
			}
		}
		for range 5 {
			if wait, ok := r.Take(a, time.Second); ok {
				t.Errorf("one too many waits %v", wait)
			}
		}
		pass(time.Second / 10)
		if wait, ok := r.Take(a, time.Second); !ok || wait != time.Second {
			t.Errorf("the next one waits %v, %t", wait, ok)
		}
	})
}

// A source that guesses is shut out for longer and longer, and others are not.
func TestPenalties(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := admission.NewPenalties(20)
		a, b := source(t, "192.0.2.1"), source(t, "192.0.2.2")
		if p.Any() || p.ShutOut(a) > 0 {
			t.Error("shut out without a wrong")
		}
		pass(time.Minute + time.Second)
		for range 20 {
			if p.Wrong(a, admission.WrongID) > 0 {
				t.Error("shut out for what is forgiven")
			}
		}
		want := time.Second
		for range 15 {
			for p.Wrong(a, admission.WrongID) == 0 { // what was forgiven since
				if p.ShutOut(a) > 0 {
					t.Fatal("shut out without being told")
				}
			}
			began := time.Now()
			for p.ShutOut(a) > 0 {
				if p.Wrong(a, admission.WrongID) > 0 {
					t.Error("shut out twice at once")
				}
				pass(time.Second / 10)
			}
			if took := time.Since(began); took < want || took > want+time.Second/10 {
				t.Errorf("shut out for %v, want %v", took, want)
			}
			want = min(2*want, 10*time.Minute)
		}
		if p.ShutOut(b) > 0 {
			t.Error("another source is shut out")
		}
		pass(time.Hour)
		for p.Wrong(a, admission.WrongID) == 0 { // until it is too much again
			continue
		}
		pass(time.Second)
		if p.ShutOut(a) > 0 {
			t.Error("an old sin is never forgiven")
		}
	})
}

// The ids of the relay before are forgiven, but not without end.
func TestPenaltiesAtTheBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := admission.NewPenalties(20)
		a := source(t, "192.0.2.1")
		wrongs := func() (n int) {
			for p.Wrong(a, admission.WrongID) == 0 {
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
		for from, tt := range map[admission.Source]struct {
			what admission.Offense
			want int
		}{ids: {admission.WrongID, 20}, tokens: {admission.WrongToken, 200}} {
			n := 0
			for p.Wrong(from, tt.what) == 0 {
				n++
			}
			if n != tt.want || p.ShutOut(from) != time.Second {
				t.Errorf("%d are forgiven, want %d; it is shut out for %v", n, tt.want, p.ShutOut(from))
			}
		}
		for range 19 {
			p.Wrong(both, admission.WrongID)
		}
		for range 10 {
			p.Wrong(both, admission.WrongToken)
		}
		if p.ShutOut(both) > 0 || p.Wrong(both, admission.WrongToken) != time.Second {
			t.Error("they do not count together")
		}
		if admission.NewPenalties(math.MaxInt).Wrong(ids, admission.WrongID) > 0 {
			t.Error("there is a limit where there is none")
		}
	})
}

// The same word is made to wait for longer and longer, and no other one.
func TestRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := admission.NewRepeats(3200 * time.Millisecond)
		want := []time.Duration{0, 100, 200, 400, 800, 1600, 3200, 3200}
		for i, ms := range want {
			if wait, first := r.Again("old"); wait != ms*time.Millisecond || first != (i == 0) {
				t.Errorf("time %d: got %v, %v; want %v ms", i, wait, first, int(ms))
			}
			pass(time.Minute)
		}
		if wait, first := r.Again("another"); wait != 0 || !first {
			t.Errorf("another word waits for %v", wait)
		}
		pass(time.Hour)
		if wait, first := r.Again("old"); wait != 0 || first {
			t.Errorf("after an hour it waits for %v, and is new: %v", wait, first)
		}
		if wait, _ := r.Again("old"); wait != 100*time.Millisecond {
			t.Errorf("then it waits for %v", wait)
		}
		for i := range 10_000 {
			r.Again(strconv.Itoa(i))
		}
		if _, first := r.Again("old"); !first {
			t.Error("words are remembered without bound")
		}
	})
}

func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := admission.NewLines(10)
		a := source(t, "192.0.2.1")
		for i := range 100 {
			if _, ok := l.Allow(a); ok != (i < 10) {
				t.Errorf("line %d: %v", i, ok)
			}
		}
		pass(6 * time.Second)
		if leftOut, ok := l.Allow(a); !ok || leftOut != 90 {
			t.Errorf("got %v after a while, and %d left out; want 90", ok, leftOut)
		}
		pass(6 * time.Second)
		if leftOut, ok := l.Allow(a); !ok || leftOut != 0 {
			t.Errorf("got %v, and %d left out; want none", ok, leftOut)
		}
	})
}
