//go:build lab && linux

package lab_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/checker"
	"github.com/seed96252745/relay/internal/netlab"
)

// at once is within a second on an idle machine; tests share theirs.
const atOnce = 5 * time.Second

// Users of a forwarder that is killed are reset: what they have is not all.
func TestForwarderKilled(t *testing.T) {
	eachProtocol(t, "row18_forwarder-killed", func(t *testing.T, protocol string) {
		r, s := newProbeRig(t, protocol, setup{})
		users, locals := s.users(idle, download, upload)
		begin := time.Now()
		r.forwarder.Kill()
		took := allReset(t, begin, atOnce, users, locals)
		record(t, "18", "forwarder killed", "SIGKILL", fmt.Sprintf("users and local server reset after %.2f s", seconds(took)))
		r.forwarder = r.startForwarder()
		r.public = r.registered(r.forwarder, 0, startPatience)
		if err := s.works(); err != nil {
			t.Error(err)
		}
	})
}

// The same when it is the relay.
func TestRelayKilled(t *testing.T) {
	eachProtocol(t, "row20_relay-killed", func(t *testing.T, protocol string) {
		r, s := newProbeRig(t, protocol, setup{})
		users, locals := s.users(idle, download, upload)
		since := r.forwarder.Lines()
		begin := time.Now()
		r.relay.Kill()
		took := allReset(t, begin, atOnce, users, locals)
		record(t, "20", "relay killed", "SIGKILL", fmt.Sprintf("users and local server reset after %.2f s", seconds(took)))
		r.startRelay()
		r.public = r.registered(r.forwarder, since, time.Minute)
		if err := s.works(); err != nil {
			t.Error(err)
		}
	})
}

// A relay that is started again has its relay clients back.
func TestRow20Restart(t *testing.T) {
	const clients, usual, longest = 20, 2 * time.Second, 30 * time.Second
	eachProtocol(t, "row20_restart", func(t *testing.T, protocol string) {
		r, _ := newProbeRig(t, protocol, setup{args: []string{"--poolSize=2"}})
		forwarders := []*netlab.Process{r.forwarder}
		for range clients - 1 {
			forwarders = append(forwarders, r.startForwarder())
		}
		since := make([]int, clients)
		for i, f := range forwarders {
			r.registered(f, 0, startPatience)
			since[i] = f.Lines()
		}
		r.relay.Kill()
		r.startRelay()
		begin := time.Now()
		took := make(chan time.Duration, clients)
		for i, f := range forwarders {
			go func() {
				_, err := f.Line(t.Context(), since[i], `"registered"`)
				if err != nil {
					t.Error(err)
				}
				took <- time.Since(begin)
			}()
		}
		var all []time.Duration
		for range clients {
			all = append(all, <-took)
		}
		slices.Sort(all)
		p95, last := all[clients*95/100-1], all[clients-1]
		if p95 > usual || last > longest {
			t.Errorf("back after %v (p95) and %v (all), want at most %v and %v", p95, last, usual, longest)
		}
		record(t, "20", "relay killed and started again, 20 clients", "SIGKILL",
			fmt.Sprintf("clients back after %.1f s (p50), %.1f s (p95), %.1f s (max)", seconds(all[clients/2]), seconds(p95), seconds(last)))
	})
}

// When the local server is killed its kernel says so, as the users' would
// without a relay; and when it is back it is used.
func TestLocalServerKilled(t *testing.T) {
	eachProtocol(t, "row18_local-server-killed", func(t *testing.T, protocol string) {
		p := newPlayRig(t, protocol, setup{})
		conn, err := p.greeting()
		if err != nil {
			t.Fatal(err)
		}
		user := newProbe(t, conn, idle, false, "user's side")
		begin := time.Now()
		p.server.Kill()
		end := <-user.ended
		took := end.at.Sub(begin)
		if !errors.Is(end.err, io.EOF) && !isReset(end.err) || took > atOnce {
			t.Errorf("the user was told %v after %v, want an end or a reset within %v", end.err, took, atOnce)
		}
		p.startServer()
		p.recover(p.forwarder.Lines())
		p.wait(p.users("--users=6", quick, "--up=100000", "--down=100000"), time.Minute)
		p.stable()
		p.verify(checker.Rules{})
		record(t, "18", "local server killed", "SIGKILL", fmt.Sprintf("user told after %.2f s", seconds(took)))
	})
}

// frozen says who stops, and for how long nobody may be lost.
var frozen = []struct {
	who  string
	is   func(*play) *netlab.Process
	ever bool // not even when it takes 40 s
}{
	{"forwarder", func(p *play) *netlab.Process { return p.forwarder }, false},
	{"relay", func(p *play) *netlab.Process { return p.relay }, false},
	{"local-server", func(p *play) *netlab.Process { return p.server }, true},
}

// A process that is frozen for ten seconds loses no user. One that is frozen for forty
// loses none silently, and afterwards all is as before.
func TestFrozen(t *testing.T) {
	t.Parallel()
	for _, f := range frozen {
		for _, lasting := range []time.Duration{10 * time.Second, 40 * time.Second} {
			if testing.Short() && (lasting > 10*time.Second || f.who != "forwarder") {
				continue
			}
			eachProtocol(t, fmt.Sprintf("row18_frozen-%s-%v", f.who, lasting), func(t *testing.T, protocol string) {
				p := newPlayRig(t, protocol, setup{})
				linger := lasting + 10*time.Second
				steady := p.users("--users=8", "--parallel=8", "--modes=idle,trickle,slow-read,download,half-close,server-half-close,echo,both",
					"--linger="+linger.String(), "--up=20000", "--down=2000000")
				// A user who came while the forwarder is frozen would wait too long.
				for late := time.Now().Add(startPatience); p.state(p.relay).Users < 6; p.pause(100 * time.Millisecond) {
					if time.Now().After(late) {
						t.Fatal("the users are not served")
					}
				}
				p.pause(3 * time.Second)
				since := p.forwarder.Lines()
				if err := f.is(p).Freeze(); err != nil {
					t.Fatal(err)
				}
				p.pause(lasting)
				if err := f.is(p).Thaw(); err != nil {
					t.Fatal(err)
				}
				p.wait(steady, 3*time.Minute)
				p.recover(since)
				p.wait(p.users("--users=12", "--parallel=6", quick, "--up=100000", "--down=100000"), time.Minute)
				lenient := lasting > 10*time.Second && !f.ever
				s := p.verify(checker.Rules{Faulty: lenient})
				if s.Complete < 12 {
					t.Errorf("%d users complete, want at least the 12 who came afterwards", s.Complete)
				}
				record(t, "18", fmt.Sprintf("%s frozen for %v", f.who, lasting), "SIGSTOP", outcome(s))
			})
		}
	}
}
