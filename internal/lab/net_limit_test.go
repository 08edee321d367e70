//go:build lab && linux

package lab_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/checker"
	"github.com/seed96252745/relay/internal/netlab"
)

// crowd is users who come one after the other and stay.
type crowd struct {
	probes *probes
	users  []*probe
}

// come has so many more users come, and waits until each is served or reset.
func (c *crowd) come(count int) (served, reset int) {
	const atATime = 20
	for count > 0 {
		n := min(atATime, count)
		some := c.some(n)
		s, r := c.outcomes(some)
		served, reset = served+s, reset+r+n-len(some)
		c.users = append(c.users, some...)
		count -= n
	}
	return served, reset
}

// some gives those of so many users who were not reset before they knew that
// they were connected.
func (c *crowd) some(count int) (some []*probe) {
	t := c.probes.rig.t
	for range count {
		conn, err := c.probes.rig.User.Dial(t.Context(), c.probes.rig.public)
		if isReset(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		// The kernel tells of a reset once: who hears of it here reads a plain end.
		if _, err := conn.Write([]byte{idle}); isReset(err) {
			conn.Close()
			continue
		}
		some = append(some, newProbe(t, conn, idle, false, "user's side"))
	}
	return some
}

// outcomes waits until each of some users is served or reset.
func (c *crowd) outcomes(some []*probe) (served, reset int) {
	t := c.probes.rig.t
	ends := make(chan error, len(some))
	for _, p := range some {
		go func() {
			select {
			case end := <-p.ended:
				p.ended <- end // for the next caller
				ends <- end.err
			case <-t.Context().Done():
			}
		}()
	}
	late := time.After(startPatience)
	for range some {
		select {
		case <-c.probes.accepted:
			served++
		case err := <-ends:
			if !isReset(err) {
				t.Errorf("a user was told %v, want a reset", err)
			}
			reset++
		case <-late:
			t.Fatalf("of %d users %d were served and %d reset, and nothing was said to the others", len(some), served, reset)
		}
	}
	return served, reset
}

// leave has all users leave.
func (c *crowd) leave() {
	for _, p := range c.users {
		p.conn.Close()
	}
	c.users = nil
}

// standing is how many have not been told of any end.
func (c *crowd) standing() (n int) {
	for _, p := range c.users {
		if len(p.ended) == 0 {
			n++
		}
	}
	return n
}

// A relay that is full resets users. Relay clients it has go on, others get in.
func TestDescriptorsUsedUp(t *testing.T) {
	const descriptors, users = 400, 250
	eachProtocol(t, "row28_descriptors", func(t *testing.T, protocol string) {
		r, s := newProbeRig(t, protocol, setup{descriptors: descriptors})
		c := &crowd{probes: s}
		served, reset := c.come(users)
		if served < 50 || reset < 20 {
			t.Errorf("%d users were served and %d reset; want many of both", served, reset)
		}
		second := r.startForwarder()
		r.registered(second, 0, startPatience)
		if standing := c.standing(); standing != served {
			t.Errorf("%d users of %d are left, after another client has come", standing, served)
		}
		r.stable()
		used, err := r.relay.Descriptors()
		if err != nil {
			t.Error(err)
		}
		c.leave()
		r.recover(0, s.works)
		record(t, "28", fmt.Sprintf("descriptors used up: %d, %d users", descriptors, users), "prlimit --nofile",
			fmt.Sprintf("%d served, %d reset, new client in; %d descriptors", served, reset, used))
	})
}

// The kernel can refuse descriptors to a relay that thinks it has some.
func TestDescriptorsTakenAway(t *testing.T) {
	eachProtocol(t, "row28_descriptors-taken-away", func(t *testing.T, protocol string) {
		// The pools of all four that come to be here have room in what users leave behind.
		r, s := newProbeRig(t, protocol, setup{args: []string{"--poolSize=4"}})
		c := &crowd{probes: s}
		first, _ := c.come(20)
		used, err := r.relay.Descriptors()
		if err != nil {
			t.Fatal(err)
		}
		if err := r.relay.LimitDescriptors(used + 10); err != nil {
			t.Fatal(err)
		}
		served, reset := c.come(60)
		if reset == 0 {
			t.Errorf("%d users were served and none reset, with descriptors for fewer", served)
		}
		if standing := c.standing(); standing < first+served {
			t.Errorf("of %d users %d are left", first+served, standing)
		}
		// More relay clients come than there is a reserve for. They have to wait, and users
		// are answered all the same.
		for range 3 {
			r.startForwarder()
		}
		r.pause(2 * time.Second)
		c.come(10)
		r.stable()
		c.leave()
		r.recover(0, s.works)
		record(t, "28", "descriptors refused by the kernel", "prlimit on the running relay",
			fmt.Sprintf("%d served before, %d after, %d reset", first, served, reset))
	})
}

// Users who do not read cost a bounded amount of memory, and nobody else a byte.
func TestMemoryUsedUp(t *testing.T) {
	const limit, most, hogs = 64 << 20, 160 << 20, 300
	eachProtocol(t, "row28_memory", func(t *testing.T, protocol string) {
		p := newPlayRig(t, protocol, setup{relayEnv: []string{fmt.Sprintf("GOMEMLIMIT=%d", limit)}})
		p.smallBuffers()
		const hogPort = "7001"
		newProbes(p.rig, hogPort)
		hogsAt := p.registered(p.startForwarderTo(hogPort, protocol), 0, startPatience)
		users := p.users("--duration=15s", "--parallel=6", quick, "--up=300000", "--down=300000")
		var conns []*net.TCPConn
		for range hogs {
			conn, err := p.User.Dial(t.Context(), hogsAt)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			_, _ = conn.Write([]byte{download}) // it may be reset already
			conns = append(conns, conn)
		}
		peak := p.peak(users)
		if peak > most {
			t.Errorf("the relay has had %d MiB of memory, want at most %d MiB", peak>>20, most>>20)
		}
		reset := 0
		for _, conn := range conns {
			if closed(t, conn) {
				reset++
			}
		}
		p.stable()
		summary := p.verify(checker.Rules{})
		record(t, "28", fmt.Sprintf("memory: %d users who do not read", hogs), "GOMEMLIMIT=64MiB, sockets of 128 KiB",
			fmt.Sprintf("at most %d MiB resident, %d of them reset; others: %s", peak>>20, reset, outcome(summary)))
	})
}

// smallBuffers has each socket hold 128 KiB at most. What the sockets of all labs may
// hold together is the machine's (tcp_mem), and when that is used up its kernel resets
// connections, whosever they are.
func (r *rig) smallBuffers() {
	r.t.Helper()
	for _, h := range []*netlab.Host{r.User, r.Relay, r.Client, r.Local} {
		for setting, sizes := range map[string]string{"tcp_rmem": "4096 131072 131072", "tcp_wmem": "4096 16384 131072"} {
			if err := h.Set("net/ipv4/"+setting, sizes); err != nil {
				r.t.Fatal(err)
			}
		}
	}
}

// peak waits until users are done, and gives the most memory that the relay has
// had meanwhile.
func (p *play) peak(users *netlab.Process) (peak int64) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 2*time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- users.Wait(ctx) }()
	for {
		memory, err := p.relay.Memory()
		if err != nil {
			p.t.Fatal(err)
		}
		peak = max(peak, memory)
		select {
		case err := <-ended:
			if err != nil {
				p.t.Fatal(err)
			}
			return peak
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// closed reports whether the kernel has been told of the end of a connection
// that nobody reads from.
func closed(t *testing.T, conn *net.TCPConn) bool {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var info *unix.TCPInfo
	if rawErr := raw.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	}); rawErr != nil || err != nil {
		t.Fatal(rawErr, err)
	}
	const tcpClose = 7
	return info.State == tcpClose
}
