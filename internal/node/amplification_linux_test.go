package node_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/certificate"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/transport"
)

const (
	// peers is how many of a kind there are at once.
	peers = 200
	// most is how many bytes a stranger may make the relay hold for each byte
	// that it sends: from where on Envoy calls it a vulnerability
	// (docs/root/intro/arch_overview/security/threat_model.rst).
	most = 100 * raceFactor
	// packetBytes is what a TCP connection costs a stranger beside what it says:
	// SYN, ACK and one packet more, for what it says or for the end. IP and TCP
	// take 40 bytes of each, and of a SYN of Linux 60. What the kernel holds is
	// not counted either.
	packetBytes = 3 * 40
	// noise is what a measurement is wrong by, for each peer: memory is counted
	// in spans of 8 KiB and more, of which there are some dozens.
	noise = 1024

	patience = 20 * time.Second
)

// Whatever a stranger says, and whether it waits for an answer or not, the
// memory that the relay spends on it is in proportion to what it sent. Nothing
// else is bounded here: there are no limits on how many come.
func TestAmplification(t *testing.T) {
	fresh := take()
	t.Run("requests", func(t *testing.T) { amplifyRequests(t, fresh) })
	t.Run("claims", func(t *testing.T) { amplifyClaims(t, fresh) })
	t.Run("tunnels", func(t *testing.T) { amplifyTunnels(t, fresh) })
	t.Run("controls", func(t *testing.T) { amplifyControls(t, fresh) })
	t.Run("probes", func(t *testing.T) { amplifyProbes(t, fresh) })
	t.Run("TLS", func(t *testing.T) { amplifyTLS(t, fresh) })
	t.Run("SSH", func(t *testing.T) { amplifySSH(t, fresh) })
}

// amplifyTLS is about a handshake of TLS that is begun, for which the relay makes a
// key, signs, and waits.
func amplifyTLS(t *testing.T, fresh memory) {
	r := start(t)
	m := r.measure(t, fresh, hello(t), func(c *stranger) { c.answer(t) }, func() int { return r.State().Handshakes })
	m.check(t, most)
}

// hello gives what a client of TLS says first.
func hello(t *testing.T) string {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		_ = tls.Client(near, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}).Handshake() //nolint:gosec // it ends before there is anything to verify
	}()
	b := make([]byte, 64<<10)
	n, err := far.Read(b)
	check(t, err)
	_ = far.Close()
	return string(b[:n])
}

func amplifyRequests(t *testing.T, fresh memory) {
	line := strings.Repeat("o", 4000)
	for _, tt := range []struct {
		name, sent string
		held       bool // by the relay, which waits for more; otherwise it closes
	}{
		{"silent", "", true},
		{"half a verb", "multi", true},
		{"a verb without an id", "pool\n", true},
		{"half an option line", "+" + line, true},
		{"16 option lines", strings.Repeat("+k "+line+"\n", 16), true},
		{"16 short option lines", strings.Repeat("+k\n", 16), true},
		{"an overlong verb", strings.Repeat("v", 65), false},
		{"an overlong option line", "+" + strings.Repeat("o", 4097), false},
		{"an unknown verb", "hello\n", false},
		{"the first bytes of TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", true},
		{"HTTP", "GET / HTTP/1.1\r\nHost: relay\r\n\r\n", false},
		{"options and a verb", strings.Repeat("+k v\n", 16) + "multiplex\n", false},
		{"a wrong claim of pool", "pool\n" + strings.Repeat("A", 26) + "\n", false},
		{"a wrong claim of event", "event\n" + strings.Repeat("A", 26) + "\n", false},
		{"a claim with options", "+k v\npool\n" + strings.Repeat("A", 26) + "\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t)
			m := r.measure(t, fresh, tt.sent, func(c *stranger) {
				if !tt.held {
					c.wantEnd(t)
				}
			}, func() int {
				if tt.held {
					return r.State().Handshakes
				}
				return peers
			})
			m.check(t, most)
		})
	}
}

// amplifyTunnels is about what costs most: goroutines, a port, a session. How many
// of them a source may have is bounded too.
func amplifyTunnels(t *testing.T, fresh memory) {
	for _, verb := range []string{"multiplex\n", "+sessions 2\nmultiplex\n", "pool\nnew\n", "event\nnew\n"} {
		for _, abandoned := range []bool{false, true} {
			name := fmt.Sprintf("%s, abandoned %v", strings.Fields(verb)[0], abandoned)
			t.Run(name, func(t *testing.T) {
				r := start(t)
				m := r.measure(t, fresh, verb, func(c *stranger) {
					c.line(t)
					if abandoned {
						c.end(t)
					}
				}, func() int {
					n := r.State().Tunnels
					if abandoned && !strings.HasPrefix(verb, "pool") { // which stays for a minute
						n = peers - n
					}
					return n
				})
				m.check(t, most)
			})
		}
	}
}

// amplifyProbes is about tunnels whose relay clients have promised to answer probes, and do
// not.
func amplifyProbes(t *testing.T, fresh memory) {
	for _, verb := range []string{"multiplex\n", "+sessions 2\nmultiplex\n", "pool\nnew\n", "event\nnew\n"} {
		t.Run(strings.Fields(verb)[0], func(t *testing.T) {
			r := startWith(t, node.Config{Probe: 15 * time.Second})
			m := r.measure(t, fresh, "+proxy v2\n+probe v1\n"+verb, func(c *stranger) { c.line(t) }, func() (silent int) {
				for _, e := range r.Endpoints() {
					if e.Health.State == observe.Silent { // which has left two probes open
						silent++
					}
				}
				return silent
			})
			m.check(t, most)
		})
	}
}

// amplifyControls is about tunnels whose relay clients have asked for a control channel, and do
// not serve it: they read nothing of it, and never claim it.
func amplifyControls(t *testing.T, fresh memory) {
	for _, verb := range []string{"multiplex\n", "pool\nnew\n", "event\nnew\n"} {
		for _, state := range []string{"v1", "v1-down"} {
			t.Run(strings.Fields(verb)[0]+" "+state, func(t *testing.T) {
				r := start(t)
				m := r.measure(t, fresh, "+proxy v2\n+control "+state+"\n"+verb, func(c *stranger) {
					c.line(t)
				}, func() int { return r.State().Tunnels })
				m.check(t, most)
			})
		}
	}
}

// amplifyClaims is about a connection that joins a pool, and one for which the
// pool has no room.
func amplifyClaims(t *testing.T, fresh memory) {
	for _, idle := range []int{-1, 1} {
		t.Run(fmt.Sprintf("at most %d", idle), func(t *testing.T) {
			r := start(t, func(l *admission.Limits) { l.Idle = idle })
			first := newStranger(t, 0)
			first.connect(t, r.port)
			first.say(t, "pool\nnew\n")
			first.line(t)
			id := first.line(t)
			m := r.measure(t, fresh, "pool\n"+id+"\n", func(c *stranger) {
				if idle > 0 {
					c.wantEnd(t)
				}
			}, func() int {
				if idle > 0 {
					return peers
				}
				return peers - r.State().Handshakes
			})
			m.check(t, most)
		})
	}
}

// relay is a server on loopback that lets everybody in.
type relay struct {
	*server.Server
	port int
}

func start(t *testing.T, changes ...func(*admission.Limits)) *relay {
	t.Helper()
	return startWith(t, node.Config{}, changes...)
}

func startWith(t *testing.T, c node.Config, changes ...func(*admission.Limits)) *relay {
	t.Helper()
	limits := admission.Limits{
		HandshakeTimeout: time.Hour, Handshakes: -1, HandshakesPerSource: -1, WrongClaims: -1, TunnelsPerSource: -1,
		Idle: -1, IdleInAll: -1, Descriptors: -1,
	}
	for _, change := range changes {
		change(&limits)
	}
	own, err := certificate.New()
	check(t, err)
	c.Bind, c.Ports, c.Limits = "127.0.0.1", port.Range{First: 20000, Last: 29999}, limits
	c.TLS = certificate.ServerConfig{GetCertificate: certificate.Fixed(own)}.TLS()
	s, err := node.Relay(c)
	check(t, err)
	l, err := transport.ListenRelayClients("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Close()
		<-served
	})
	_, port, _ := net.SplitHostPort(l.Addr().String())
	r := &relay{Server: s}
	r.port, _ = strconv.Atoi(port)
	return r
}

// measure has all peers send the same and do what do says, and waits until
// arrived counts them all. Fresh is from before the first relay: stacks are in
// spans, some of which stay after it.
func (r *relay) measure(t *testing.T, fresh memory, sent string, do func(*stranger), arrived func() int) measurement {
	t.Helper()
	warm := newStranger(t, 1) // so that all is there that is needed once
	warm.connect(t, r.port)
	warm.say(t, "hello\n")
	warm.wantEnd(t)
	strangers := make([]*stranger, peers)
	for i := range strangers {
		strangers[i] = newStranger(t, i)
	}
	before := take()
	before.stacks = min(before.stacks, fresh.stacks)
	for _, c := range strangers {
		c.connect(t, r.port)
		c.say(t, sent)
	}
	for _, c := range strangers {
		do(c)
	}
	r.settle(t, arrived)
	return take().since(before, len(sent)+packetBytes)
}

// settle waits until all peers have come as far as they will.
func (r *relay) settle(t *testing.T, arrived func() int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for since := time.Now(); arrived() != peers; <-tick.C {
		if time.Since(since) > patience {
			t.Fatalf("%d of %d have arrived", arrived(), peers)
		}
	}
}

// stranger is a connection that costs this process no memory of Go's.
type stranger struct{ fd int }

// newStranger has one of as many addresses as there are peers, since what is
// kept about sources counts too.
func newStranger(t *testing.T, i int) *stranger {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	check(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 1, byte(i)}}))
	limit := unix.NsecToTimeval(patience.Nanoseconds())
	check(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
	return &stranger{fd}
}

func (c *stranger) connect(t *testing.T, port int) {
	t.Helper()
	check(t, unix.Connect(c.fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}))
}

func (c *stranger) say(t *testing.T, text string) {
	t.Helper()
	for len(text) > 0 {
		n, err := unix.Write(c.fd, []byte(text))
		check(t, err)
		text = text[n:]
	}
}

// line reads a line of an answer.
func (c *stranger) line(t *testing.T) (line string) {
	t.Helper()
	for b := make([]byte, 1); ; line += string(b) {
		n, err := unix.Read(c.fd, b)
		if err != nil || n != 1 {
			t.Fatalf("the answer is %q, %v", line, err)
		}
		if b[0] == '\n' {
			return line
		}
	}
}

// answer reads the beginning of an answer.
func (c *stranger) answer(t *testing.T) {
	t.Helper()
	_, err := unix.Read(c.fd, make([]byte, 4096))
	check(t, err)
}

// wantEnd reads until the relay has closed the connection.
func (c *stranger) wantEnd(t *testing.T) {
	t.Helper()
	b := make([]byte, 4096)
	for {
		n, err := unix.Read(c.fd, b)
		if err == unix.EAGAIN {
			t.Fatal("the relay does not close the connection")
		}
		if err != nil || n == 0 {
			return
		}
	}
}

// end leaves without another word.
func (c *stranger) end(t *testing.T) {
	t.Helper()
	check(t, unix.Shutdown(c.fd, unix.SHUT_WR))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
