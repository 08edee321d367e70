//go:build lab && linux

package lab_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/checker"
	"github.com/seed96252745/relay/internal/netlab"
)

// A NAT forgets what is idle, and tells nobody. Users who come then are served
// or reset, within the time that a user waits, and soon all are served.
func TestRow13NATForgets(t *testing.T) {
	t.Parallel()
	const (
		idleFor  = 20 * time.Second
		userWait = 11 * time.Second // and a second for the way
	)
	eachProtocol(t, "row13_nat-forgets", func(t *testing.T, protocol string) {
		p := newPlayRig(t, protocol, setup{fault: (*netlab.Lab).ShortMemory})
		p.pause(idleFor)
		since := p.forwarder.Lines()
		p.wait(p.users("--users=12", "--parallel=12", "--modes=echo,download,half-close", "--up=50000", "--down=50000"), 2*time.Minute)
		took := p.longest()
		// A session has no sign of life for one user; where users have connections
		// of their own, they wait as long as any.
		within := userWait
		if protocol == "multiplex" {
			within = noticed
		}
		if took > within {
			t.Errorf("users were told after %v, want at most %v", took, within)
		}
		p.recover(since)
		p.wait(p.users("--users=12", "--parallel=6", quick, "--up=50000", "--down=50000"), time.Minute)
		s := p.verify(checker.Rules{Faulty: true})
		if s.Complete < 12 {
			t.Errorf("%d users complete, want at least the 12 who came afterwards", s.Complete)
		}
		record(t, "13", "NAT forgets after 10 s, idle for 20 s", "nf_conntrack_tcp_timeout_established=10, loose=0",
			fmt.Sprintf("all told after %.1f s; %s", seconds(took), outcome(s)))
	})
}

// A NAT that is started again forgets all at once, in the midst of everything.
func TestRow13NATRestarts(t *testing.T) {
	t.Parallel()
	eachProtocol(t, "row13_nat-restarts", func(t *testing.T, protocol string) {
		r, s := newProbeRig(t, protocol, setup{})
		users, locals := s.users(idle, download, upload)
		since := r.forwarder.Lines()
		r.inject(r.Amnesia())
		begin := time.Now()
		took := allReset(t, begin, noticed, users, locals)
		r.recover(since, s.works)
		back := time.Since(begin)
		record(t, "13", "NAT restarts", "conntrack -F, loose=0",
			fmt.Sprintf("users and local server reset after %.1f s, served again after %.1f s", seconds(took), seconds(back)))
	})
}
