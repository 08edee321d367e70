//go:build unix

package conformance_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/certificate"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/roster"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/transport"
)

// probing is a relay that probes, and reports how its only tunnel does.
type probing struct {
	*server.Server
	addr    string
	encrypt *tls.Config // for its relay clients
	changed chan observe.Event
}

// Observe takes the changes of the tunnel's state.
func (p *probing) Observe(e observe.Event) {
	if e.Name == observe.TunnelStateChanged {
		p.changed <- e
	}
}

func startProbing(t *testing.T, every time.Duration) *probing {
	t.Helper()
	own, encrypt := newCertificate(t)
	p := &probing{encrypt: encrypt, changed: make(chan observe.Event, 1000)}
	s, err := node.Relay(node.Config{
		Bind: "127.0.0.1", Ports: port.Range{First: 20000, Last: 29999}, Probe: every,
		Limits: admission.Limits{TunnelsPerSource: -1, HandshakeTimeout: patience, UserWait: patience},
		TLS:    certificate.ServerConfig{GetCertificate: certificate.Fixed(own)}.TLS(),
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		Sinks:  []observe.Sink{p},
	})
	must(t, err)
	l, err := transport.ListenRelayClients("127.0.0.1:0")
	if err != nil {
		s.Close()
		t.Fatal(err)
	}
	p.Server, p.addr = s, l.Addr().String()
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(l) }) // its error says only that it was closed
	t.Cleanup(func() {
		s.Close()
		serving.Wait()
	})
	return p
}

// awaitState waits until the tunnel's state is the given one.
func (p *probing) awaitState(t *testing.T, want observe.State) endpoint.Snapshot {
	t.Helper()
	for {
		if all := p.Endpoints(); len(all) == 1 && all[0].Health.State == want {
			return all[0]
		}
		within(t, p.changed, "the state "+string(want))
	}
}

// eachProbed runs the test for every protocol over every transport.
func eachProbed(t *testing.T, test func(t *testing.T, protocol relay.Protocol, p *probing, encrypt *tls.Config)) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		t.Parallel()
		for _, name := range []string{"plain", "tls"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := startProbing(t, time.Second)
				encrypt := p.encrypt
				if name == "plain" {
					encrypt = nil
				}
				test(t, protocol, p, encrypt)
			})
		}
	})
}

// A relay knows whether the local server accepts connections: when it is killed, and when
// it is back.
func TestLocalServerIsKilled(t *testing.T) {
	eachProbed(t, func(t *testing.T, protocol relay.Protocol, p *probing, encrypt *tls.Config) {
		at := "127.0.0.1:" + conntest.FreePort(t)
		local := startRelay(t, at) // any server that can be killed
		forward(t, p.addr, at, protocol, encrypt)
		if s := p.awaitState(t, observe.Up); s.Health.Probe == nil || s.Health.Probe.Dial <= 0 || s.Health.Probe.Took < s.Health.Probe.Dial || s.Health.Failure != "" {
			t.Errorf("up: %+v with %+v", s.Health, s.Health.Probe)
		}
		local.kill()
		if s := p.awaitState(t, observe.LocalServerDown); s.Health.Failure != "connection refused" || s.Health.Probe.Failure != s.Health.Failure {
			t.Errorf("down: %+v with %+v", s.Health, s.Health.Probe)
		}
		startRelay(t, at)
		p.awaitState(t, observe.Up)
	})
}

// A forwarder that is frozen does not answer, although its kernel does, and shows at once
// that it is back.
func TestForwarderIsFrozen(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		t.Parallel()
		p := startProbing(t, time.Second)
		f := startForwarder(t, p.addr, serveLocal(t, func(c *net.TCPConn) { _ = c.Close() }), protocol)
		p.awaitState(t, observe.Up)
		must(t, f.Process.Signal(syscall.SIGSTOP))
		p.awaitState(t, observe.Silent)
		must(t, f.Process.Signal(syscall.SIGCONT))
		p.awaitState(t, observe.Up)
		if n := len(p.Endpoints()); n != 1 {
			t.Errorf("there are %d ports", n)
		}
	})
}

// A forwarder that is paused resets every user, so its tunnel is not up.
func TestPausedForwarderIsNotUp(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		t.Parallel()
		p := startProbing(t, time.Second)
		local := serveLocal(t, func(c *net.TCPConn) { _ = c.Close() })
		f, err := relay.NewForwarder(p.addr, local, with(protocol, relay.Options{Drain: -1}))
		must(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- f.Run(ctx) }()
		defer func() {
			cancel()
			if err := within(t, ended, "the forwarder to end"); err != nil {
				t.Errorf("Run: %v", err)
			}
		}()
		p.awaitState(t, observe.Up)
		f.Pause()
		if s := p.awaitState(t, observe.LocalServerDown); s.Health.Failure != "users are paused at the relay client" {
			t.Errorf("paused: %+v", s.Health)
		}
		f.Resume()
		p.awaitState(t, observe.Up)
	})
}

// Probes are no users: they are in no number that a relay counts users by, and a user who
// comes is the first.
func TestProbesAreNoUsers(t *testing.T) {
	eachProbed(t, func(t *testing.T, protocol relay.Protocol, p *probing, encrypt *tls.Config) {
		came := make(chan struct{}, 1000)
		forward(t, p.addr, serveLocal(t, func(c *net.TCPConn) {
			came <- struct{}{}
			_ = c.Close()
		}), protocol, encrypt)
		s := p.awaitState(t, observe.Up)
		within(t, came, "the first probe to be seen")
		first := s.Health.Probe.At
		for s.Health.Probe.At.Equal(first) { // until there was another one
			within(t, time.After(10*time.Millisecond), "the time to pass")
			s = p.awaitState(t, observe.Up)
		}
		if totals := p.Totals(); totals != (roster.Totals{}) {
			t.Errorf("probes count: %+v", totals)
		}
		if state := p.State(); state.Users != 0 || state.Waiting != 0 {
			t.Errorf("probes count: %+v", state)
		}
	})
}

// Without a local server of its own a listener answers that it is there, until its users
// wait for Accept in vain.
func TestListenerThatDoesNotAccept(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		t.Parallel()
		p := startProbing(t, time.Second)
		l, err := relay.Listen(t.Context(), p.addr, with(protocol, relay.Options{}))
		must(t, err)
		defer func() { _ = l.Close() }()
		if s := p.awaitState(t, observe.Up); s.Health.Probe.Dial != 0 {
			t.Errorf("up: %+v", s.Health.Probe)
		}
		dial(t, l.Addr().String())
		if s := p.awaitState(t, observe.LocalServerDown); s.Health.Failure != "the program does not accept connections" {
			t.Errorf("down: %+v", s.Health)
		}
		c, err := l.Accept()
		must(t, err)
		defer func() { _ = c.Close() }()
		p.awaitState(t, observe.Up)
	})
}

// A relay client that does not offer to answer is unknown, whatever it does; so is one at a
// relay that does not ask.
func TestUnknownWithoutProbes(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		for name, c := range map[string]struct {
			every time.Duration
			probe relay.Probe
		}{"the relay client does not": {10 * time.Millisecond, relay.ProbeOff}, "the relay does not": {0, relay.ProbeLocal}} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := startProbing(t, c.every)
				l, err := relay.Listen(t.Context(), p.addr, with(protocol, relay.Options{Probe: c.probe}))
				must(t, err)
				defer func() { _ = l.Close() }()
				dial(t, l.Addr().String())
				user, err := l.Accept() // and a hundred probes could have come
				must(t, err)
				_ = user.Close()
				if s := p.awaitState(t, observe.Unknown); s.Health.Probe != nil {
					t.Errorf("got %+v", s.Health.Probe)
				}
			})
		}
	})
}

// rawClient registers with the lines of docs/protocol.md, and returns its public port and
// what comes on its control connection after that.
func rawClient(t *testing.T, addr, lines string) (port string, control *bufio.Reader) {
	t.Helper()
	conn := dial(t, addr)
	_, err := io.WriteString(conn, lines)
	must(t, err)
	control = bufio.NewReader(conn)
	return readLine(t, control), control
}

// A relay client of another maker answers with a line, as docs/protocol.md has it.
func TestRawProbe(t *testing.T) {
	t.Parallel()
	p := startProbing(t, time.Second)
	_, control := rawClient(t, p.addr, "+proxy v2\n+probe v1\nevent\nnew\n")
	for answer, want := range map[string]observe.State{"ok\n": observe.Up, "ok 12\r\n": observe.Up, "failed refused\n": observe.LocalServerDown} {
		id := readLine(t, control)
		claim := dial(t, p.addr)
		_, err := io.WriteString(claim, "event\n"+id+"\n")
		must(t, err)
		header := make([]byte, 19)
		_, err = io.ReadFull(claim, header)
		must(t, err)
		if string(header) != "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x03\xe6\x00\x00" {
			t.Errorf("the header is %q", header)
		}
		_, err = io.WriteString(claim, answer)
		must(t, err)
		if rest, err := io.ReadAll(claim); len(rest) > 0 || err != nil {
			t.Errorf("after the answer the relay sends %q, %v", rest, err)
		}
		p.awaitState(t, want)
	}
}

// A relay that shuts down, or whose relay client leaves, waits for no answer.
func TestUnansweredProbeEnds(t *testing.T) {
	t.Parallel()
	p := startProbing(t, time.Second)
	_, control := rawClient(t, p.addr, "+proxy v2\n+probe v1\nevent\nnew\n")
	readLine(t, control) // the id of a probe
	must(t, p.Shutdown(t.Context()))
}

// The base protocol is as it was: a relay client that offers nothing is told of users alone.
func TestBaseProtocolHasNoProbes(t *testing.T) {
	t.Parallel()
	p := startProbing(t, time.Millisecond)
	port, control := rawClient(t, p.addr, "event\nnew\n")
	user := dial(t, net.JoinHostPort("127.0.0.1", port))
	id := readLine(t, control)
	claim := dial(t, p.addr)
	_, err := io.WriteString(claim, "event\n"+id+"\nhello")
	must(t, err)
	hello := make([]byte, 5)
	_, err = io.ReadFull(user, hello)
	must(t, err)
	if string(hello) != "hello" {
		t.Errorf("the first id is not the user's: it has %q", hello)
	}
	p.awaitState(t, observe.Unknown)
}

// A relay client that answers with anything else, however much that is, is silent, and harms
// nobody.
func TestHostileAnswer(t *testing.T) {
	t.Parallel()
	p := startProbing(t, time.Second)
	_, control := rawClient(t, p.addr, "+proxy v2\n+probe v1\nevent\nnew\n")
	for _, answer := range []string{"\n", strings.Repeat("x", 1<<20), "failed \x1b[2J\n", "ok"} {
		id := readLine(t, control)
		claim := dial(t, p.addr)
		_, err := io.WriteString(claim, "event\n"+id+"\n")
		must(t, err)
		_, err = io.ReadFull(claim, make([]byte, 19))
		must(t, err)
		_, _ = io.WriteString(claim, answer) // of which the relay reads a part, and resets it
		_ = claim.CloseWrite()
		_, _ = io.Copy(io.Discard, claim)
	}
	p.awaitState(t, observe.Silent)
}
