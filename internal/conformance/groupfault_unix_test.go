//go:build unix

package conformance_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/history"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/observe"
)

// run starts a process that is a member of the group, before a server that sends each user its
// name and echoes. A process with the same name takes the place of the one before.
func (c *crew) run(name string, local string) *process {
	c.Helper()
	host, number, err := net.SplitHostPort(c.addr)
	must(c.T, err)
	localHost, localPort, err := net.SplitHostPort(local)
	must(c.T, err)
	p := startCommand(c.T, append(flagsOf(c.protocol), "--group=web", "--name="+name, "--tokenFile="+c.file("secret"), "--stateDir="+filepath.Join(c.dir, name),
		"--localForwardPort="+localPort, "--localForwardHost="+localHost, host, number)...)
	go drainLog(p.logged)
	return p
}

// crowd is users who come one after the other, each for an exchange.
type crowd struct {
	crew    *crew
	public  string
	running sync.WaitGroup

	mu     sync.Mutex
	failed map[string]error // by the address of the user
	served map[byte]int
}

// crowdEvery is how often a user of a crowd comes: 100 in a second.
const crowdEvery = 10 * time.Millisecond

// come has users come until all is done, or as many have come as it wants.
func (w *crowd) come(enough func(come int) bool) {
	every := time.NewTicker(crowdEvery)
	defer every.Stop()
	for n := 0; !enough(n); n++ {
		<-every.C
		w.running.Go(w.visit)
	}
}

// visit is one user, whose bytes have to come back.
func (w *crowd) visit() {
	user, name, err := roundTrip(w.public)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.failed[user] = err
		return
	}
	w.served[name]++
}

// roundTrip sends a user's bytes, and wants them back behind the name of the server.
func roundTrip(public string) (user string, name byte, err error) {
	// The address is known before the connection is: it may be reset before connect returns.
	from := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error { return bindLoopback(c, &user) }}
	conn, err := from.Dial("tcp", public)
	if err != nil {
		return user, 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	const n = 5000
	sent := make([]byte, n)
	_, _ = newStream(7, []byte(user)...).Read(sent)
	if _, err := conn.Write(sent); err != nil {
		return user, 0, err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return user, 0, err
	}
	got, err := io.ReadAll(conn)
	switch {
	case err != nil:
		return user, 0, err
	case len(got) != n+1 || !bytes.Equal(got[1:], sent):
		return user, 0, fmt.Errorf("%w: %d bytes", errDiffers, len(got))
	}
	return user, got[0], nil
}

// bindLoopback binds a socket to a port of 127.0.0.1, and notes its address.
func bindLoopback(c syscall.RawConn, address *string) (err error) {
	failed := c.Control(func(fd uintptr) {
		if err = unix.Bind(int(fd), &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			return
		}
		var name unix.Sockaddr
		if name, err = unix.Getsockname(int(fd)); err == nil {
			*address = fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
		}
	})
	return errors.Join(failed, err)
}

// wantNoneHurt waits for the users, and expects that each was served who was not joined with
// one of these relay clients.
func (w *crowd) wantNoneHurt(t *testing.T, killed ...string) {
	t.Helper()
	w.running.Wait()
	w.crew.mu.Lock()
	defer w.crew.mu.Unlock()
	excused := 0
	for user, err := range w.failed {
		with := w.crew.joined[user]
		if reason := w.crew.reset[user]; reason != nil || !slices.ContainsFunc(with, func(m string) bool { return slices.Contains(killed, m) }) {
			t.Errorf("user %s, joined with %q: %v (%v)", user, with, err, reason)
			continue
		}
		excused++
	}
	t.Logf("served: %v; reset with those who were killed: %d", w.served, excused)
}

// A member is killed while 100 users come in a second, started again, and killed again. No
// user is hurt who was not joined with it, and none is lost.
func TestGroupMemberIsKilled(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		t.Parallel()
		c := newCrew(t, protocol)
		one, two := serveLocal(t, greetAndEcho(1)), serveLocal(t, greetAndEcho(2))
		first := c.run("one", one)
		public := first.nextPublic(t)
		c.run("two", two)
		w := &crowd{crew: c, public: public, failed: make(map[string]error), served: make(map[byte]int)}
		var killed []string
		for range 3 {
			s := c.awaitMembers(2)
			killed = append(killed, clientOf(s, "one"))
			var killing sync.WaitGroup
			w.come(func(come int) bool {
				if come == 50 {
					killing.Go(first.kill)
				}
				return come >= 100 && len(c.server.Endpoints()[0].Members) == 1
			})
			killing.Wait()
			first = c.run("one", one)
			if again := first.nextPublic(t); again != public {
				t.Errorf("the port is %s again, want %s", again, public)
			}
		}
		c.awaitMembers(2)
		w.come(func(come int) bool { return come == 50 })
		w.wantNoneHurt(t, killed...)
		for name := range byte(2) {
			if w.served[name+1] < 50 {
				t.Errorf("member %d has served %d users", name+1, w.served[name+1])
			}
		}
	})
}

// clientOf returns the address of a member by its name.
func clientOf(s endpoint.Snapshot, name string) string {
	for _, m := range s.Members {
		if m.Name == name {
			return m.RelayClient.String()
		}
	}
	return "nobody"
}

// A member that is frozen gets no users once that shows, and those for whom no connection had
// come are served by another. Those who were joined with it are served when it goes on.
func TestGroupMemberIsFrozen(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		t.Parallel()
		c := newCrew(t, protocol)
		frozen := c.run("one", serveLocal(t, greetAndEcho(1)))
		public := frozen.nextPublic(t)
		c.run("two", serveLocal(t, greetAndEcho(2)))
		c.awaitMembers(2)
		w := &crowd{crew: c, public: public, failed: make(map[string]error), served: make(map[byte]int)}
		w.come(func(come int) bool { return come == 50 })
		must(t, frozen.Process.Signal(syscall.SIGSTOP))
		isSilent := func() bool {
			members := c.server.Endpoints()[0].Members
			return slices.ContainsFunc(members, func(m endpoint.Member) bool { return m.Health.State == observe.Silent })
		}
		since := time.Now()
		w.come(func(int) bool { return isSilent() || time.Since(since) > patience })
		if !isSilent() {
			t.Fatal("it does not show that a member is frozen")
		}
		for range 20 {
			if user, name, err := roundTrip(public); err != nil || name != 2 {
				t.Errorf("user %s is served by member %d, %v", user, name, err)
			}
		}
		must(t, frozen.Process.Signal(syscall.SIGCONT))
		w.wantNoneHurt(t)
		c.awaitMembers(2)
	})
}

// A member whose server does not work gets no users, and has them again when it does. While
// none works users wait.
func TestGroupMemberIsUnhealthy(t *testing.T) {
	eachCrew(t, func(c *crew) {
		well := c.serve("well", nil)
		at := net.JoinHostPort("127.0.0.1", conntest.FreePort(c.T))
		ill := c.joinAt("ill", at, func(o *relay.Options) { o.HealthCheck = &relay.HealthCheck{Interval: time.Second} })
		c.await("ill to be down", func(s endpoint.Snapshot) bool { return len(s.Members) == 2 && s.Members[1].Health.Failure != "" })
		c.wantCounts(c.counts(well.public, 6), map[*member]int{well: 6, ill: 0})
		seen := node.NewAdmin(node.AdminConfig{Server: c.server, History: history.New()})
		problems := seen.Status().Problems
		if len(problems) != 1 || problems[0].Code != "local_server_down" || !strings.Contains(problems[0].Text, " (web), member at 127.0.0.1:") ||
			!strings.Contains(problems[0].Text, " (ill): users cannot be served (connection refused)") {
			c.Errorf("the problems are %+v", problems)
		}
		if shown := seen.Tunnels()[0]; shown.State != "up" || shown.Group != "web" || shown.Members[0].Users != 6 || shown.Members[1].Error != "connection refused" {
			c.Errorf("the group is shown as %+v", shown)
		}
		well.stop()
		c.awaitServed("ill alone", 1)
		waiting, err := net.Dial("tcp", well.public)
		must(c.T, err)
		defer waiting.Close()
		_ = waiting.SetDeadline(time.Now().Add(patience))
		serveLocalAt(c.T, at, greetAndEcho(ill.name))
		must(c.T, ill.greets(waiting.(*net.TCPConn)))
		c.awaitMembers(1)
		back := c.serve("well", nil)
		c.awaitMembers(2)
		c.wantCounts(c.counts(well.public, 1), map[*member]int{back: 1})
	})
}

// awaitServed waits until there are so many members.
func (c *crew) awaitServed(what string, n int) {
	c.Helper()
	c.await(what, func(s endpoint.Snapshot) bool { return len(s.Members) == n })
}
