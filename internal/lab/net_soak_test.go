//go:build lab && soak && linux

package lab_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/checker"
	"github.com/seed96252745/relay/internal/netlab"
)

const (
	// roundTime is how long users come in a round; it ends when the last is done.
	roundTime = 25 * time.Second
	// drained is how long the users of a round may take to end once nobody is
	// kept from it: all waits that Relay has, one after the other.
	drained = 2 * time.Minute
	// settled is how long a process may take to be as before.
	settled = 10 * time.Second
)

// soak is everything at once: a relay, a forwarder for each protocol, users of
// each, and one fault after the other.
type soak struct {
	*play
	random     *rand.Rand
	forwarders []*soaked
	relays     samples
}

// soaked is a forwarder.
type soaked struct {
	protocol string
	process  *netlab.Process
	public   string
	samples  samples
}

// TestSoak runs for SOAK, which is a duration, with the draws of SOAK_SEED.
func TestSoak(t *testing.T) {
	lasting, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil {
		t.Fatalf("SOAK: %v", err)
	}
	seed, err := strconv.ParseUint(os.Getenv("SOAK_SEED"), 10, 64)
	if err != nil {
		t.Fatalf("SOAK_SEED: %v", err)
	}
	t.Logf("SOAK_SEED=%d", seed)
	s := newSoak(t, seed)
	begin := time.Now()
	s.round(fault{name: "nothing"})
	s.sample()
	rounds := 1
	for ; time.Since(begin) < lasting; rounds++ {
		// A process that is killed starts anew, and is compared with itself afterwards.
		f := s.draw(time.Since(begin) < lasting/3)
		t.Logf("%v: %s", time.Since(begin).Round(time.Second), f.name)
		s.round(f)
		s.sample()
	}
	s.noLeak()
	summary := s.verify(checker.Rules{Faulty: true})
	record(t, "47", fmt.Sprintf("soak, %v, seed %d", lasting, seed), fmt.Sprintf("%d rounds, one random fault each", rounds),
		fmt.Sprintf("%s; %d violations; relay %s", outcome(summary), summary.Violations, &s.relays))
	for _, f := range s.forwarders {
		record(t, "47", "soak, forwarder of "+f.protocol, "the same", f.samples.String())
	}
}

func newSoak(t *testing.T, seed uint64) *soak {
	t.Helper()
	s := &soak{play: newPlayRig(t, "multiplex", setup{}), random: rand.New(rand.NewPCG(seed, 47))}
	s.forwarders = []*soaked{{protocol: "multiplex", process: s.forwarder}}
	for _, protocol := range []string{"pool", "event"} {
		s.forwarders = append(s.forwarders, &soaked{protocol: protocol, process: s.startForwarderTo(localPort, protocol)})
	}
	return s
}

// round has users come, and the fault be there in their midst.
func (s *soak) round(f fault) {
	s.t.Helper()
	var users []*netlab.Process
	for i, forwarder := range s.forwarders {
		s.find(forwarder)
		users = append(users, s.use(s.User, forwarder.public, "--modes=all", "--vary", "--up=1000000", "--down=1000000",
			"--linger=2s", "--parallel=6", "--rate=10", "--duration="+roundTime.String(), "--seed="+strconv.Itoa(i+1)))
	}
	s.pause(roundTime / 5)
	if f.do != nil {
		f.do()
	}
	for _, u := range users {
		s.wait(u, roundTime+drained)
	}
}

// find learns where the users of a forwarder go now.
func (s *soak) find(f *soaked) {
	s.t.Helper()
	s.forwarder, s.public = f.process, f.public
	s.recover(0)
	f.public = s.public
}

// fault is one of a soak, from its beginning to its end.
type fault struct {
	name string
	do   func()
}

// draw chooses a fault, and how long it lasts.
func (s *soak) draw(killing bool) fault {
	lasting := 2*time.Second + time.Duration(s.random.Int64N(int64(10*time.Second)))
	forwarder := s.forwarders[s.random.IntN(len(s.forwarders))]
	during := func(f netlab.Fault) fault {
		return fault{fmt.Sprintf("%v for %v", f, lasting), func() {
			s.inject(f)
			s.pause(lasting)
			s.heal(f)
		}}
	}
	frozen := func(who string, p *netlab.Process) fault {
		return fault{fmt.Sprintf("%s frozen for %v", who, lasting), func() {
			if err := p.Freeze(); err != nil {
				s.t.Error(err)
			}
			s.pause(lasting)
			if err := p.Thaw(); err != nil {
				s.t.Error(err)
			}
		}}
	}
	faults := []fault{
		during(s.Lossy(0.01)), during(s.Lossy(0.05)), during(s.Lossy(0.2)),
		during(s.ClientGone()), during(s.NAT.Deaf(netlab.Near)), during(s.Relay.Deaf(netlab.Far)), during(s.LocalGone()),
		during(s.LinkDown()), during(s.Resets(0.02)), during(s.Resets(1)),
		during(s.Amnesia()), during(s.ShortMemory()),
		during(s.SlowUplink(10_000_000)), during(s.SmallSegments(536)),
		frozen("relay", s.relay), frozen("forwarder of "+forwarder.protocol, forwarder.process), frozen("local server", s.server),
	}
	if killing {
		faults = append(faults,
			fault{"relay killed", s.killRelay}, fault{"relay killed", s.killRelay},
			fault{"forwarder of " + forwarder.protocol + " killed", func() { s.killForwarder(forwarder) }},
			fault{"forwarder of " + forwarder.protocol + " killed", func() { s.killForwarder(forwarder) }})
	}
	return faults[s.random.IntN(len(faults))]
}

func (s *soak) killRelay() {
	s.relay.Kill()
	s.startRelay()
	s.relays = samples{}
}

func (s *soak) killForwarder(f *soaked) {
	f.process.Kill()
	f.process = s.startForwarderTo(localPort, f.protocol)
	f.samples = samples{}
}

// sample waits until nobody is there, and asks everybody what they hold.
func (s *soak) sample() {
	s.t.Helper()
	late := time.After(drained)
	for {
		now := s.state(s.relay)
		if now.Users == 0 && now.Waiting == 0 {
			break
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-late:
			s.t.Fatalf("%d users are left at the relay, of whom %d wait, although all have gone", now.Users, now.Waiting)
		}
	}
	s.pause(settled)
	s.relays.add(s.state(s.relay).Figures)
	for _, f := range s.forwarders {
		f.samples.add(s.state(f.process).Figures)
	}
}

// noLeak compares everybody with what they were in the beginning.
func (s *soak) noLeak() {
	s.t.Helper()
	leaks := s.relays.leaks("relay")
	for _, f := range s.forwarders {
		leaks = append(leaks, f.samples.leaks("forwarder of "+f.protocol)...)
	}
	for _, leak := range leaks {
		s.t.Error(leak)
	}
}

// samples are what a process held at quiet points of its life.
type samples struct {
	at      []time.Time
	figures []checker.Figures
}

func (s *samples) add(f checker.Figures) {
	s.at, s.figures = append(s.at, time.Now()), append(s.figures, f)
}

func (s *samples) leaks(process string) []checker.Violation {
	return checker.Leaks(process, s.figures[0], s.figures[len(s.figures)-1])
}

// String says what there was in the beginning and at the end, and the slope of
// the line that fits best.
func (s *samples) String() string {
	first, last := s.figures[0], s.figures[len(s.figures)-1]
	slope := func(of func(checker.Figures) float64) float64 {
		var x, y, xx, xy float64
		n := float64(len(s.figures))
		for i, f := range s.figures {
			minutes := s.at[i].Sub(s.at[0]).Minutes()
			x, y, xx, xy = x+minutes, y+of(f), xx+minutes*minutes, xy+minutes*of(f)
		}
		if n*xx == x*x {
			return 0 // one point
		}
		return (n*xy - x*y) / (n*xx - x*x)
	}
	return fmt.Sprintf("over %.0f minutes: goroutines %d to %d (%+.3f a minute), descriptors %d to %d (%+.3f), heap %.1f to %.1f MB (%+.3f)",
		s.at[len(s.at)-1].Sub(s.at[0]).Minutes(),
		first.Goroutines, last.Goroutines, slope(func(f checker.Figures) float64 { return float64(f.Goroutines) }),
		first.Descriptors, last.Descriptors, slope(func(f checker.Figures) float64 { return float64(f.Descriptors) }),
		float64(first.HeapBytes)/1e6, float64(last.HeapBytes)/1e6, slope(func(f checker.Figures) float64 { return float64(f.HeapBytes) / 1e6 }))
}
