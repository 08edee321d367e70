//go:build lab && linux

package lab_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/checker"
)

// localPlay is users and a server of the checker, as processes, with whatever
// a row puts in between.
type localPlay struct {
	t      *testing.T
	dir    string
	server *localProcess
	local  string // the server's address
	files  []string
}

func newLocalPlay(t *testing.T, serverArgs ...string) *localPlay {
	t.Helper()
	p := &localPlay{t: t, dir: t.TempDir()}
	args := append([]string{"serve", "--records=" + p.file()}, serverArgs...)
	p.server = localStart(t, binary(t, "player"), args...)
	p.server.line(0, "listening", func(line string) (found bool) {
		p.local, found = strings.CutPrefix(line, "listening ")
		return found
	})
	return p
}

func (p *localPlay) file() string {
	name := filepath.Join(p.dir, strconv.Itoa(len(p.files))+".jsonl")
	p.files = append(p.files, name)
	return name
}

// use starts users who go to an address.
func (p *localPlay) use(to string, args ...string) *localProcess {
	p.t.Helper()
	return localStart(p.t, binary(p.t, "player"), append([]string{"use", "--to=" + to, "--records=" + p.file()}, args...)...)
}

// used has users and waits for their end.
func (p *localPlay) used(to string, args ...string) {
	p.t.Helper()
	if users := p.use(to, args...); !users.wait() {
		p.t.Fatalf("%v failed: %q", users.cmd.Args, users.from(0))
	}
}

// verify ends the server, and compares what both sides have seen.
func (p *localPlay) verify(rules checker.Rules) checker.Summary {
	p.t.Helper()
	p.server.signal(syscall.SIGTERM)
	if !p.server.wait() {
		p.t.Errorf("the server failed: %q", p.server.from(0))
	}
	var records []io.Reader
	for _, name := range p.files {
		file, err := os.Open(name)
		if err != nil {
			p.t.Fatal(err)
		}
		defer file.Close()
		records = append(records, file)
	}
	report, err := checker.Verify(rules, records...)
	if err != nil {
		p.t.Fatal(err)
	}
	const told = 10
	for i, v := range report.Violations {
		if i == told {
			p.t.Errorf("and %d more", len(report.Violations)-told)
			break
		}
		p.t.Error(v)
	}
	if report.Summary.Users == 0 {
		p.t.Error("there were no users")
	}
	return report.Summary
}

// localRig is a relay, a forwarder, and the checker at both ends.
type localRig struct {
	*localPlay
	protocol         string
	idle             int // connections that wait for users while there are none
	relay, forwarder *localProcess
	relayAddr        string
	public           string
}

// localSetup is what differs between rigs.
type localSetup struct {
	relay, forwarder, server []string // arguments
}

func newLocalRig(t *testing.T, protocol string, s localSetup) *localRig {
	t.Helper()
	r := &localRig{localPlay: newLocalPlay(t, s.server...), protocol: protocol}
	if protocol == "pool" {
		r.idle = relay.DefaultPoolSize
	}
	r.relay, r.relayAddr = localRelay(t, s.relay...)
	r.forwarder, r.public = localForwarder(t, r.relayAddr, r.local, protocol, s.forwarder...)
	return r
}

// baseline has a few users, so that what is made once is there, and gives what
// relay and forwarder hold.
func (r *localRig) baseline() [2]checker.Figures {
	r.t.Helper()
	r.used(r.public, "--users=20", "--parallel=10", "--modes=echo,both", "--up=100000", "--down=100000", "--seed=77")
	until(r.t, "the pool is full again", func() bool { return r.relay.state().Pool.Idle == r.idle })
	return r.quiet()
}

// quiet waits until nobody is served, and gives what relay and forwarder hold.
func (r *localRig) quiet() [2]checker.Figures {
	r.t.Helper()
	var relay localState
	until(r.t, "the relay has no users", func() bool {
		relay = r.relay.state()
		return relay.Users == 0 && relay.Waiting == 0
	})
	return [2]checker.Figures{relay.Figures, r.forwarder.state().Figures}
}

// noLeak waits until relay and forwarder hold what they held before; if they do
// not within ten seconds, that is a violation.
func (r *localRig) noLeak(before [2]checker.Figures) (measured string) {
	r.t.Helper()
	late := time.After(10 * time.Second)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		after := r.quiet()
		leaks := append(checker.Leaks("relay", before[0], after[0]), checker.Leaks("forwarder", before[1], after[1])...)
		if len(leaks) == 0 {
			return "nothing left behind"
		}
		select {
		case <-tick.C:
		case <-late:
			for _, leak := range leaks {
				r.t.Error(leak)
			}
			return "leaks"
		}
	}
}

// ms is a duration for a report.
func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }

// mib is bytes for a report.
func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
