//go:build lab && linux

package lab_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/checker"
	"github.com/seed96252745/relay/internal/netlab"
)

// play is a run of the checker through a rig: a server at the far end, users
// at the near one, and what both wrote down.
type play struct {
	*rig
	server  *netlab.Process
	records []string // files
}

// newPlayRig makes a rig whose local server is the checker's.
func newPlayRig(t *testing.T, protocol string, s setup) *play {
	t.Helper()
	p := new(play)
	s.local = func(r *rig) {
		p.rig = r
		p.startServer()
	}
	newRig(t, protocol, s)
	return p
}

func (p *play) file() string {
	name := filepath.Join(p.t.TempDir(), strconv.Itoa(len(p.records))+".jsonl")
	p.records = append(p.records, name)
	return name
}

func (p *play) startServer() {
	p.t.Helper()
	p.server = p.start(p.Local, nil, binary(p.t, "player"), "serve",
		"--grace="+serverGrace.String(),
		"--listen="+netlab.LocalAddr+":"+localPort, "--records="+p.file(), "--stall=5m")
	p.line(p.server, 0, startPatience, "listening")
}

// use starts users on a host, who go to an address.
func (p *play) use(from *netlab.Host, to string, args ...string) *netlab.Process {
	p.t.Helper()
	return p.start(from, nil, binary(p.t, "player"),
		append([]string{"use", "--to=" + to, "--records=" + p.file(), "--stall=2m"}, args...)...)
}

// serverGrace is how long the server waits, at the end, for what is on its way to
// it: over a wire that delays and reorders a user is done long before.
const serverGrace = 30 * time.Second

// users starts users of the tunnel.
func (p *play) users(args ...string) *netlab.Process {
	p.t.Helper()
	return p.use(p.User, p.public, args...)
}

// longest is how long the longest of the users took who have come last, by what they
// say: a process takes its time to start and to end.
func (p *play) longest() (longest time.Duration) {
	p.t.Helper()
	users := toldIn(p.t, p.records[len(p.records)-1])
	if len(users) == 0 {
		p.t.Fatal("the users have said nothing of themselves")
	}
	for _, user := range users {
		longest = max(longest, user.End)
	}
	return longest
}

// greeting is a user to whom the server has said hello.
func (p *play) greeting() (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), startPatience)
	defer cancel()
	conn, err := p.User.Dial(ctx, p.public)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	_ = conn.SetReadDeadline(deadline)
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, conn.SetReadDeadline(time.Time{})
}

// recover waits until users are greeted: see rig.recover.
func (p *play) recover(since int) {
	p.t.Helper()
	p.rig.recover(since, func() error {
		conn, err := p.greeting()
		if err == nil {
			conn.Close()
		}
		return err
	})
}

// wait waits until users are done.
func (p *play) wait(users *netlab.Process, patience time.Duration) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	if err := users.Wait(ctx); err != nil {
		p.t.Fatal(err)
	}
}

// verify ends the server and compares what both sides wrote down.
func (p *play) verify(rules checker.Rules) checker.Summary {
	p.t.Helper()
	if err := p.server.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	p.wait(p.server, serverGrace+startPatience)
	var files []io.Reader
	for _, name := range p.records {
		file, err := os.Open(name)
		if err != nil {
			p.t.Fatal(err)
		}
		defer file.Close()
		files = append(files, file)
	}
	report, err := checker.Verify(rules, files...)
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

// stable fails if the tunnel has ended, ever. One whose relay client only goes on
// with other connections has not: with pool it cannot tell users who are reset from a
// relay that has forgotten the pool.
func (r *rig) stable() {
	r.t.Helper()
	for line := range strings.Lines(r.relay.Output()) {
		if strings.Contains(line, "tunnel closed") && !strings.Contains(line, "registered_anew") {
			r.t.Errorf("the tunnel ended: %s", line)
		}
	}
}

// outcome is a summary in few words.
func outcome(s checker.Summary) string {
	text := fmt.Sprintf("%d of %d users complete, %.1f MB, longest gap %.1f s",
		s.Complete, s.Users, float64(s.Up+s.Down)/1e6, s.Gap.Seconds())
	return text
}
