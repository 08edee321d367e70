package conformance_test

import (
	"bufio"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/auth"
)

// A new program that does not get as far as to serve changes nothing: the relay goes on, says
// why in its log and to who has asked, and can be upgraded when there is a good program.
func TestUpgradeFails(t *testing.T) {
	for name, tt := range map[string]struct {
		script string
		mode   os.FileMode
		want   string
	}{
		"ends at once":       {"#!/bin/sh\necho it is no good >&2\nexit 7\n", 0o700, "it is no good (exit status 7)"},
		"leaves a child":     {"#!/bin/sh\nsleep 3 &\nexit 7\n", 0o700, "exit status 7"},
		"hangs":              {"#!/bin/sh\nexec sleep 100\n", 0o700, "it is not ready after 30s"},
		"is not executable":  {"#!/bin/sh\n", 0o600, "permission denied"},
		"is no program":      {"\x00\x01\x02", 0o700, "exec format error"},
		"ends well, and why": {"#!/bin/sh\n", 0o700, "it has ended"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDynasty(t)
			tun := forward(t, d.addr, serveLocal(t, greetAndEcho(1)), relay.Multiplex, nil)
			u := &upgradeUsers{public: tun.public}
			before, err := u.greeted()
			must(t, err)
			defer before.Close()
			d.replace(tt.script, tt.mode)
			d.wantFails(tt.want)
			d.wantGoesOn(u, before)
			d.restore()
			d.upgrade()
			within(t, tun.registered, "the forwarder to register at the new process")
			d.wantGoesOn(u, before)
		})
	}
}

// A new process that finds its files wrong says so, and one that means another relay does.
func TestUpgradeOfWhatCannotStart(t *testing.T) {
	tokens := filepath.Join(t.TempDir(), "tokens")
	secret := auth.NewSecret()
	write := func(text string) { must(t, os.WriteFile(tokens, []byte(text), 0o600)) }
	write("owner " + auth.Hash(secret) + "\n")
	d := newDynasty(t, "--tokens="+tokens)
	tun := &tunnel{registered: make(chan string, 100)}
	tun.public = forwardWith(t, d.addr, relay.Options{Token: secret}, tun.registered)
	u := &upgradeUsers{public: tun.public}
	before, err := u.greeted()
	must(t, err)
	defer before.Close()
	write("this is no line of it\n")
	d.wantFails("--tokens: ")
	d.wantGoesOn(u, before)
	write("owner " + auth.Hash(secret) + "\n")
	d.upgrade()
	within(t, tun.registered, "the forwarder to register at the new process")
	d.wantGoesOn(u, before)
}

// wantFails expects that an upgrade fails, for a reason that is in the log, too.
func (d *dynasty) wantFails(why string) {
	d.Helper()
	out, err := d.tryUpgrade()
	if out != "" || err == nil || !strings.HasPrefix(err.Error(), "exit status 1: ") || !strings.Contains(err.Error(), why) {
		d.Errorf("relay upgrade prints %q, and ends with %v; want status 1, and %q", out, err, why)
	}
	d.awaitLog("the upgrade has failed: this process goes on")
}

// wantGoesOn expects that users come, and that one who was there goes on.
func (d *dynasty) wantGoesOn(u *upgradeUsers, before *net.TCPConn) {
	d.Helper()
	if err := echoed(before, 1000); err != nil {
		d.Errorf("a user who was there: %v", err)
	}
	for range 3 {
		if u.visit(); len(u.failed) > 0 {
			d.Error(u.failed)
		}
	}
}

// forwardWith starts a forwarder with these options, and returns its public address.
func forwardWith(t *testing.T, addr string, options relay.Options, registered chan string) (public string) {
	t.Helper()
	f := startForwarding(t, addr, serveLocal(t, greetAndEcho(1)), options, registered)
	t.Cleanup(f)
	return within(t, registered, "the forwarder to register")
}

// A relay client of the base protocol cannot be told. Its users go on, and others come, through
// the process that it has registered with, until the drain is over. Then it registers anew.
func TestUpgradeWithABaseClient(t *testing.T) {
	d := newDynasty(t, "--upgradeDrain=3s")
	c := newBaseClient(t, d.addr)
	first := c.user()
	out := d.upgrade()
	if !strings.Contains(out, "relay clients: 0 come to the new process, 1 cannot be told") {
		t.Errorf("relay upgrade prints %q", out)
	}
	second := c.user() // at the old process, with a claim that comes to the new one
	d.upgrade()
	third := c.user()
	for _, user := range [][2]net.Conn{first, second, third} {
		pingPong(t, user[0], user[1])
		pingPong(t, user[1], user[0])
	}
	if _, err := c.ids.ReadString('\n'); err == nil {
		t.Error("there is another user")
	}
	for _, user := range [][2]net.Conn{first, second, third} {
		if _, err := user[0].Read(make([]byte, 1)); !isReset(err) {
			t.Errorf("a user after the drain: %v, want a reset", err)
		}
	}
	d.awaitLog("--upgradeDrain is over")
	again := newBaseClient(t, d.addr)
	user := again.user()
	pingPong(t, user[0], user[1])
}

// baseClient is a relay client of event that says nothing before the verb.
type baseClient struct {
	*testing.T
	relay, public string
	ids           *bufio.Reader
}

func newBaseClient(t *testing.T, addr string) *baseClient {
	t.Helper()
	control := dial(t, addr)
	_ = control.SetDeadline(time.Now().Add(patience))
	_, err := io.WriteString(control, "event\nnew\n")
	must(t, err)
	c := &baseClient{T: t, relay: addr, ids: bufio.NewReader(control)}
	port, err := c.ids.ReadString('\n')
	must(t, err)
	c.public = net.JoinHostPort("127.0.0.1", strings.TrimSpace(port))
	return c
}

// user connects a user, and claims it.
func (c *baseClient) user() (ends [2]net.Conn) {
	c.Helper()
	user := dial(c.T, c.public)
	_ = user.SetDeadline(time.Now().Add(patience))
	id, err := c.ids.ReadString('\n')
	must(c.T, err)
	claim := dial(c.T, c.relay)
	_ = claim.SetDeadline(time.Now().Add(patience))
	_, err = io.WriteString(claim, "event\n"+id)
	must(c.T, err)
	pingPong(c.T, user, claim)
	return [2]net.Conn{user, claim}
}

// pingPong has bytes go from one connection to the other.
func pingPong(t *testing.T, from, to net.Conn) {
	t.Helper()
	sent := make(chan error, 1)
	go func() { sent <- send(from, newStream(9), 3000) }()
	must(t, expect(to, newStream(9), 3000), <-sent)
}

// Leases survive an upgrade without their owners, and so do users who wait for them.
func TestUpgradeKeepsLeases(t *testing.T) {
	d := newDynasty(t)
	registered := make(chan string, 100)
	start := func() (stop func()) {
		return startForwarding(t, d.addr, serveLocal(t, greetAndEcho(1)), relay.Options{Keys: oneKey("a")}, registered)
	}
	stop := start()
	public := within(t, registered, "the forwarder to register")
	stop()
	parked := dial(t, public) // before, and handed over
	_ = parked.SetDeadline(time.Now().Add(patience))
	d.upgrade()
	d.upgrade()
	stop = start()
	defer func() { stop() }()
	if again := within(t, registered, "the forwarder to register again"); again != public {
		t.Errorf("the port is %s, and was %s", again, public)
	}
	if _, err := io.ReadFull(parked, make([]byte, 1)); err != nil {
		t.Fatalf("a user who has waited: %v", err)
	}
	must(t, echoed(parked, 5000))

	// The process that has taken over dies, and the lease is where it was.
	must(t, syscall.Kill(d.pid(), syscall.SIGKILL))
	d.wait(d.pid())
	d.startAgain()
	if again := within(t, registered, "the forwarder to register after a crash"); again != public {
		t.Errorf("the port is %s, and was %s", again, public)
	}
	u := &upgradeUsers{public: public}
	if u.visit(); len(u.failed) > 0 {
		t.Error(u.failed)
	}
}

// The old process dies while it drains: whom it has not joined is the new one's. It is told to
// end while it drains: it does so as ever. The new one is told: the old one goes on.
func TestUpgradeAndSignals(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		t.Parallel()
		d := newDynasty(t)
		tun := forward(t, d.addr, serveLocal(t, greetAndEcho(1)), protocol, nil)
		u := &upgradeUsers{public: tun.public}
		var users []*net.TCPConn
		for range 3 {
			conn, err := u.greeted()
			must(t, err)
			defer conn.Close()
			users = append(users, conn)
			d.upgrade()
			d.awaitLogTimes("registered_anew", len(users)) // when the old process has let go of the port
		}
		must(t, syscall.Kill(d.heirs[0], syscall.SIGKILL))
		if _, err := users[1].Read(make([]byte, 1)); !isReset(err) {
			t.Errorf("a user whose process is killed: %v", err)
		}
		d.wantGoesOn(u, users[0])
		must(t, syscall.Kill(d.first.Process.Pid, syscall.SIGTERM))
		if _, err := users[0].Read(make([]byte, 1)); !isReset(err) {
			t.Errorf("a silent user whose process drains: %v", err)
		}
		if status := d.wait(d.first.Process.Pid); status != 0 {
			t.Errorf("the first process has ended with %v", status)
		}
		d.wantGoesOn(u, users[2])
		must(t, syscall.Kill(d.pid(), syscall.SIGTERM))
		if status := d.wait(d.pid()); status != 0 {
			t.Errorf("the last process has ended with %v", status)
		}
		must(t, echoed(users[2], 1000), ending(users[2]))
		if status := d.wait(d.heirs[1]); status != 0 {
			t.Errorf("the process before has ended with %v", status)
		}
	})
}

// A group goes over as a whole.
func TestUpgradeWithAGroup(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		t.Parallel()
		tokens := filepath.Join(t.TempDir(), "tokens")
		secret := auth.NewSecret()
		must(t, os.WriteFile(tokens, []byte("owner "+auth.Hash(secret)+"\n"), 0o600))
		d := newDynasty(t, "--tokens="+tokens)
		var registered [2]chan string
		var public string
		for i := range registered {
			registered[i] = make(chan string, 100)
			stop := startForwarding(t, d.addr, serveLocal(t, greetAndEcho(byte(i))), *with(protocol, relay.Options{
				Group: "web", Keys: oneKey([]string{"a", "b"}[i]), Token: secret,
			}), registered[i])
			t.Cleanup(stop)
			public = within(t, registered[i], "a member to register")
		}
		for range 2 {
			d.upgrade()
			for i := range registered {
				if again := within(t, registered[i], "a member to register again"); again != public {
					t.Errorf("the port is %s, and was %s", again, public)
				}
			}
			served := make(map[byte]int)
			for since := time.Now(); served[0] < 3 || served[1] < 3; {
				_, name, err := roundTrip(public)
				must(t, err)
				if served[name]++; time.Since(since) > patience {
					t.Fatalf("the members serve %v", served)
				}
			}
		}
	})
}
