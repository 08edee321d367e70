//go:build lab && linux

package lab_test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/checker"
)

// leaseUsers come all the time, and 50 each second.
var leaseUsers = []string{"--rate=50", "--parallel=600", "--modes=echo", "--up=1000"}

// A forwarder is killed, and started again two seconds later. It has the same
// port, and users have waited for it there.
func TestRow19ForwarderStartedAgain(t *testing.T) {
	eachLocal(t, "row19_forwarder-again", func(t *testing.T, protocol string) {
		t.Parallel() // it waits, mostly
		const gap, longest = 2 * time.Second, time.Second
		state := "--stateDir=" + t.TempDir()
		r := newLocalRig(t, protocol, localSetup{forwarder: []string{state}})
		users := r.use(r.public, append(leaseUsers, "--duration=7s")...)
		joined := r.use(r.public, "--users=5", "--parallel=5", "--modes=idle", "--linger=3s", "--up=1000")
		rawWait(1500 * time.Millisecond)
		killing := time.Now()
		r.forwarder.signal(syscall.SIGKILL)
		<-r.forwarder.exited
		// Not before that can the relay know.
		until(t, "the relay's kernel has been told", func() bool { return !connected(t, r.relayAddr) })
		killed := time.Now()
		rawWait(gap)
		again, public := localForwarder(t, r.relayAddr, r.local, protocol, state)
		back := again.logged("registered").Sub(killed)
		if !users.wait() || !joined.wait() {
			t.Error("users failed")
		}
		s := r.verify(checker.Rules{Faulty: true})
		lost, waited := 0, time.Duration(0)
		for _, user := range r.users() {
			switch {
			case user.complete():
				waited = max(waited, user.FirstByte)
			case user.Start.Before(killed) && user.ended().After(killing):
				lost++ // who was joined
			default:
				t.Errorf("a user who came %s after the kill ended with %q, %q", ms(user.Start.Sub(killed)), user.ReadEnd, user.WriteEnd)
			}
		}
		if public != r.public {
			t.Errorf("the forwarder is at %s, and was at %s", public, r.public)
		}
		if waited > back+longest {
			t.Errorf("somebody waited %v, and the forwarder was away for %v", waited, back)
		}
		record(t, "19", "forwarder killed, and started again after 2 s", "SIGKILL",
			fmt.Sprintf("same port after %s; %d of %d users complete, %d reset with the forwarder; the longest wait for the first byte %s",
				ms(back), s.Complete, s.Users, lost, ms(waited)))
	})
}

// A forwarder is frozen, so that its connections stay open, and another one with
// the same key takes over. The old one wakes up, and is kept out.
func TestRow19Takeover(t *testing.T) {
	eachLocal(t, "row19_takeover", func(t *testing.T, protocol string) {
		t.Parallel() // it waits, mostly
		const soon = time.Second
		state := "--stateDir=" + t.TempDir()
		r := newLocalRig(t, protocol, localSetup{forwarder: []string{state}})
		users := r.use(r.public, append(leaseUsers, "--duration=8s")...)
		rawWait(time.Second)
		r.forwarder.signal(syscall.SIGSTOP)
		frozen := time.Now()
		newer, public := localForwarder(t, r.relayAddr, r.local, protocol, state)
		served := newer.logged("registered")
		// The relay says so before it puts the tunnel in place of the other one.
		inPlace := r.relay.loggedAgain("tunnel opened", 1)
		rawWait(2 * time.Second)
		logged := len(r.forwarder.from(0))
		r.forwarder.signal(syscall.SIGCONT)
		r.forwarder.line(logged, "why it is not registered", func(line string) bool {
			return strings.Contains(line, "not registered") && strings.Contains(line, "(superseded)")
		})
		if !users.wait() {
			t.Error("users failed")
		}
		s := r.verify(checker.Rules{})
		by := r.servedBy()
		var waited []time.Duration
		begin, longest := time.Time{}, time.Duration(0)
		for _, user := range r.users() {
			if user.Start.Before(served) || user.Start.Before(inPlace) {
				longest = max(longest, user.FirstByte)
				continue
			}
			waited = append(waited, user.FirstByte)
			if first := user.Start.Add(user.FirstByte); begin.IsZero() || first.Before(begin) {
				begin = first
			}
			if by.clients[user.Local] != by.last {
				t.Errorf("a user who came %s after the takeover was served by %q, want %q", ms(user.Start.Sub(served)), by.clients[user.Local], by.last)
			}
		}
		if by.tunnels != 2 {
			t.Errorf("there were %d tunnels, want the old one and the new one", by.tunnels)
		}
		if public != r.public {
			t.Errorf("the newer forwarder is at %s, and the other one at %s", public, r.public)
		}
		slices.Sort(waited)
		p95, last := waited[len(waited)*95/100], waited[len(waited)-1]
		if took := begin.Sub(frozen); took > soon || p95 > soon || last > atOnce {
			t.Errorf("the newer forwarder serves after %v, and users wait %v (p95) and %v (max); want %v, %v and %v", took, p95, last, soon, soon, atOnce)
		}
		record(t, "19", "forwarder frozen, another one with its key, and thawed", "SIGSTOP, SIGCONT",
			fmt.Sprintf("taken over after %s, start included, first user served after %s; %d of %d users complete; first byte of users who came after that p95 %s, max %s; of those before, max %s",
				ms(served.Sub(frozen)), ms(begin.Sub(frozen)), s.Complete, s.Users, ms(p95), ms(last), ms(longest)))
	})
}

// The relay is killed and started again. Ports are whose they were, and users are
// served who come before the forwarders are back.
func TestRow20SamePorts(t *testing.T) {
	eachLocal(t, "row20_same-ports", func(t *testing.T, protocol string) {
		const clients, usual = 10, time.Second
		p := newLocalPlay(t)
		state := "--stateDir=" + t.TempDir()
		relay, addr := localRelay(t, state)
		var forwarders []*localProcess
		var ports []string
		for range clients {
			f, public := localForwarder(t, addr, p.local, protocol, "--stateDir="+t.TempDir(), "--poolSize=4")
			forwarders, ports = append(forwarders, f), append(ports, public)
		}
		relay.signal(syscall.SIGKILL)
		<-relay.exited
		again := localRelayAt(t, addr, state)
		ready := again.logged("relay is ready")
		var users []*localProcess
		for _, public := range ports {
			users = append(users, p.use(public, "--users=20", "--parallel=5", "--modes=echo,both", "--up=10000", "--down=10000"))
		}
		var took []time.Duration
		for i, f := range forwarders {
			took = append(took, f.loggedAgain("registered", 1).Sub(ready))
			if !slices.Contains(f.from(0), fmt.Sprintf("%s -> %s (%s)", ports[i], p.local, protocol)) || f.publics() != 1 {
				t.Errorf("a forwarder has moved from %s", ports[i])
			}
		}
		for _, u := range users {
			if !u.wait() {
				t.Error("users failed")
			}
		}
		s := p.verify(checker.Rules{})
		slices.Sort(took)
		if p50 := took[clients/2]; p50 > usual {
			t.Errorf("forwarders are back after %v in the median, want %v", p50, usual)
		}
		record(t, "20", "relay killed and started again, 10 forwarders, users at once", "SIGKILL",
			fmt.Sprintf("same ports; back after p50 %s, max %s; %d of %d users complete, the longest wait for the first byte %s",
				ms(took[clients/2]), ms(took[clients-1]), s.Complete, s.Users, ms(s.FirstByte.Max)))
	})
}
