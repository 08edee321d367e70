//go:build lab && linux

package lab_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/checker"
	"github.com/seed96252745/relay/internal/netlab"
)

// quick are modes without pauses; where a row is about the network, others
// would only wait.
const quick = "--modes=echo,upload,download,both,half-close,server-half-close"

func TestRow22Loss(t *testing.T) {
	t.Parallel()
	for _, loss := range []struct {
		percent int
		args    []string
		rules   checker.Rules
	}{
		{1, []string{"--users=60", "--up=300000", "--down=300000"}, checker.Rules{}},
		// A claim whose SYN is lost three times and something else after it comes too
		// late for its user: about one in 10,000 at 5 %, and one in 20 at 20 %.
		{5, []string{"--users=30", "--up=100000", "--down=100000"}, checker.Rules{Faulty: true}},
		{20, []string{"--duration=60s", "--up=20000", "--down=20000"}, checker.Rules{Faulty: true}},
	} {
		if loss.percent != 5 && testing.Short() {
			continue
		}
		eachProtocol(t, fmt.Sprintf("row22_loss-%d", loss.percent), func(t *testing.T, protocol string) {
			p := newPlayRig(t, protocol, setup{})
			p.inject(p.Lossy(float64(loss.percent) / 100))
			p.wait(p.users(append([]string{"--parallel=6", quick}, loss.args...)...), 4*time.Minute)
			p.stable()
			s := p.verify(loss.rules)
			record(t, "22", fmt.Sprintf("loss of %d %%", loss.percent), "iptables statistic, both ways", outcome(s))
		})
	}
}

// The order, the number and the times of packets are all wrong.
func TestRow23Wire(t *testing.T) {
	eachProtocol(t, "row23_wire", func(t *testing.T, protocol string) {
		p := newPlayRig(t, protocol, setup{wire: rough()})
		p.wait(p.users("--users=12", "--parallel=6", quick, "--up=200000", "--down=200000"), 4*time.Minute)
		s := p.verify(checker.Rules{})
		record(t, "23", "200 ms ±100, reorder 1 %, duplicate 1 %", "TUN wire, each way", outcome(s))
	})
}

// rough is a wire that is far, and right in the end.
func rough() *netlab.Conditions {
	return &netlab.Conditions{
		Bits: 50e6, Queue: 2 << 20, // about what is under way
		Delay: 200 * time.Millisecond, Jitter: 100 * time.Millisecond,
		Reorder: 0.01, Duplicate: 0.01, Seed: 23,
	}
}

// Through a relay bytes are about as fast as without one, at the same time over
// the same wire, which neither of them fills: what is out of order slows TCP. How
// fast is recorded and not asserted, since one run is luck: 60 % is what to expect.
func TestRow23Throughput(t *testing.T) {
	const bytes = 1_000_000
	long(t)
	t.Parallel()
	for _, mode := range []string{"download", "upload"} {
		eachProtocol(t, "row23_throughput-"+mode, func(t *testing.T, protocol string) {
			p := newPlayRig(t, protocol, setup{wire: rough()})
			// One at a time: of several, multiplex would have one connection for all.
			args := []string{"--users=4", "--parallel=1", "--modes=" + mode, fmt.Sprintf("--up=%d", bytes), fmt.Sprintf("--down=%d", bytes)}
			begin := time.Now()
			relayed := p.users(args...)
			direct := p.use(p.Relay, netlab.LocalAddr+":"+localPort, args...)
			without := make(chan time.Duration, 1)
			go func() {
				_ = direct.Wait(t.Context()) // the records tell more
				without <- time.Since(begin)
			}()
			p.wait(relayed, 8*time.Minute)
			took := time.Since(begin)
			ratio := (<-without).Seconds() / took.Seconds()
			p.verify(checker.Rules{})
			record(t, "23", "throughput, "+mode, "TUN wire, each way", fmt.Sprintf("%.0f %% of direct TCP (%.2f Mbit/s)",
				100*ratio, 4*8*bytes/1e6/took.Seconds()))
		})
	}
}

func TestRow26SmallSegments(t *testing.T) {
	eachProtocol(t, "row26_mss-536", func(t *testing.T, protocol string) {
		p := newPlayRig(t, protocol, setup{fault: func(l *netlab.Lab) netlab.Fault { return l.SmallSegments(536) }})
		p.wait(p.users("--users=24", "--parallel=6", quick, "--up=1000000", "--down=1000000"), 4*time.Minute)
		p.stable()
		record(t, "26", "MSS of 536", "iptables TCPMSS", outcome(p.verify(checker.Rules{})))
	})
}

// A hop that swallows what is too large for it is found out by kernels that
// probe, which is a setting.
func TestRow26BlackHole(t *testing.T) {
	t.Parallel()
	eachProtocol(t, "row26_mtu-black-hole", func(t *testing.T, protocol string) {
		p := newPlayRig(t, protocol, setup{})
		for _, h := range []*netlab.Host{p.Relay, p.Client} {
			if err := h.Set("net/ipv4/tcp_mtu_probing", "1"); err != nil {
				t.Fatal(err)
			}
		}
		p.inject(p.BlackHole(1400))
		p.wait(p.users("--users=6", "--parallel=6", quick, "--up=300000", "--down=300000"), 4*time.Minute)
		p.stable()
		record(t, "26", "MTU black hole at 1400, tcp_mtu_probing=1", "drop above 1400 bytes, no ICMP", outcome(p.verify(checker.Rules{})))
	})
}

// Somebody on the way resets everything for some seconds.
func TestResetStorm(t *testing.T) {
	eachProtocol(t, "row18_reset-storm", func(t *testing.T, protocol string) {
		p := newPlayRig(t, protocol, setup{})
		users := p.users("--duration=6s", "--parallel=6", "--rate=30", quick, "--up=1000000", "--down=1000000", "--vary")
		p.pause(time.Second)
		since := p.forwarder.Lines()
		storm := p.Resets(1)
		p.inject(storm)
		p.line(p.forwarder, since, startPatience, "not registered at the relay")
		p.pause(3 * time.Second)
		p.heal(storm)
		begin := time.Now()
		p.public = p.registered(p.forwarder, since, startPatience)
		back := time.Since(begin)
		p.wait(users, time.Minute)
		p.wait(p.users("--users=12", "--parallel=6", quick, "--up=100000", "--down=100000"), time.Minute)
		s := p.verify(checker.Rules{Faulty: true})
		record(t, "18", "reset storm, 3 s", "REJECT --reject-with tcp-reset",
			fmt.Sprintf("registered again after %.1f s; %s", seconds(back), outcome(s)))
	})
}

// Bytes that wait for seconds in a cheap modem are slow, and nothing is dead.
func TestSlowUplink(t *testing.T) {
	t.Parallel()
	long(t)
	const bits = 1_000_000
	eachProtocol(t, "row22_slow-uplink", func(t *testing.T, protocol string) {
		p := newPlayRig(t, protocol, setup{})
		p.inject(p.SlowUplink(bits))
		const bytes = bits / 8 * 75 // for longer than a minute
		bulk := p.users("--users=1", "--modes=download", fmt.Sprintf("--down=%d", bytes))
		// A few that come meanwhile have their turn behind two seconds of queue.
		p.wait(p.users("--users=20", "--rate=0.5", "--parallel=10", "--modes=echo", "--up=1000"), 3*time.Minute)
		p.wait(bulk, 3*time.Minute)
		p.stable()
		s := p.verify(checker.Rules{})
		record(t, "22", "uplink of 1 Mbit/s, full for 75 s, 2 s of queue", "tbf latency 2000ms",
			fmt.Sprintf("%s; first byte p50 %.1f s, max %.1f s", outcome(s), s.FirstByte.P50.Seconds(), s.FirstByte.Max.Seconds()))
	})
}

// Connections that are there outlast a link that comes and goes, and nobody is
// told anything wrong.
func TestFlappingLink(t *testing.T) {
	t.Parallel()
	long(t)
	eachProtocol(t, "row18_flapping-link", func(t *testing.T, protocol string) {
		p := newPlayRig(t, protocol, setup{})
		// These take a minute each, so each sees every outage.
		steady := p.users("--users=6", "--parallel=6", "--modes=idle,trickle,slow-read,download,half-close", "--linger=60s", "--up=20000", "--down=200000")
		p.pause(2 * time.Second)
		down := p.LinkDown()
		for range 4 {
			p.inject(down)
			p.pause(5 * time.Second)
			p.heal(down)
			p.pause(10 * time.Second)
		}
		p.wait(steady, 3*time.Minute)
		p.stable()
		record(t, "18", "link flapping, 4 times 5 s down and 10 s up", "ip link set down", outcome(p.verify(checker.Rules{})))
	})
}
