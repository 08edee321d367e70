//go:build lab && linux

package lab_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/checker"
	"github.com/seed96252745/relay/internal/netlab"
)

const (
	controlPort = "8080"
	control     = netlab.RelayAddr + ":" + controlPort
	localPort   = "7000"
	// startPatience is for what programs do at once when the machine is idle.
	startPatience = 30 * time.Second
	// noticed is the promise of when a peer that vanished is noticed: by an idle
	// connection after 15 s and three probes, by one with bytes in flight after
	// 30 s, and some seconds for the way of the news.
	noticed = 35 * time.Second
)

// eachProtocol runs a row over all of them, at the same time: most rows wait
// for something most of the time.
func eachProtocol(t *testing.T, row string, f func(t *testing.T, protocol string)) {
	t.Helper()
	for _, protocol := range []string{"multiplex", "pool", "event"} {
		t.Run(row+"/"+protocol, func(t *testing.T) {
			t.Parallel()
			f(t, protocol)
		})
	}
}

// long leaves a row out of the short form.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes too long for the short form")
	}
}

// rig is a lab with a relay and a forwarder in it.
type rig struct {
	*netlab.Lab
	t        *testing.T
	protocol string
	setup    setup

	relay, forwarder *netlab.Process
	public           string // where users go
}

// setup is what is not as usual in a rig.
type setup struct {
	wire      *netlab.Conditions
	fault     func(*netlab.Lab) netlab.Fault // from the beginning on
	relayEnv  []string
	relayArgs []string
	// descriptors is how many the relay may have, or zero for as many as usual.
	descriptors int
	args        []string     // of the forwarder
	local       func(r *rig) // starts the local server, before the forwarder
	// verbose has relay and forwarders log all that they can, and a test that
	// fails show all of that.
	verbose bool
}

// newRig makes a rig whose forwarder has been given a public port.
func newRig(t *testing.T, protocol string, s setup) *rig {
	t.Helper()
	if missing := netlab.Missing("iptables", "conntrack", "tc", "ss"); missing != "" {
		t.Fatal(missing)
	}
	lab, err := netlab.New(t.Context(), s.wire)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Lab: lab, t: t, protocol: protocol, setup: s}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	if s.fault != nil {
		r.inject(s.fault(lab))
	}
	r.startRelay()
	if s.local != nil {
		s.local(r)
	}
	r.forwarder = r.startForwarder()
	r.public = r.registered(r.forwarder, 0, startPatience)
	return r
}

// start runs a program on one of the hosts until the test ends.
func (r *rig) start(h *netlab.Host, env []string, path string, args ...string) *netlab.Process {
	r.t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}, env...)
	p, err := h.Start(cmd)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		p.Kill()
		if line, panicked := p.Said(0, `"msg":"panic`); panicked {
			r.t.Errorf("%s: %s", p, line)
		}
		if r.t.Failed() {
			r.t.Logf("%s said:\n%s", p, r.shown(p.Output()))
		}
	})
	return p
}

// shown is what a test that fails shows of a program's output.
func (r *rig) shown(output string) string {
	if r.setup.verbose {
		return output
	}
	const last = 40
	lines := strings.Split(output, "\n")
	return strings.Join(lines[max(0, len(lines)-last):], "\n")
}

// logging is how relay and forwarders log.
func (r *rig) logging() []string {
	if r.setup.verbose {
		return []string{"--logFormat=json", "--logLevel=debug"}
	}
	return []string{"--logFormat=json"}
}

// startRelay starts the relay, the first or another one after its end.
func (r *rig) startRelay() {
	r.t.Helper()
	// All users of a lab come from one address, and all relay clients.
	args := []string{
		binary(r.t, "relay"), "--maxUsersPerSource=0", "--maxUsersPerSecond=0",
		"--maxTunnelsPerSource=0", "--maxTunnelsPerNetwork=0", "--maxHandshakesPerSource=0",
	}
	args = append(append(append(args, r.logging()...), r.setup.relayArgs...), controlPort)
	if r.setup.descriptors > 0 {
		args = append([]string{"prlimit", "--nofile=" + strconv.Itoa(r.setup.descriptors)}, args...)
	}
	r.relay = r.start(r.Relay, r.setup.relayEnv, args[0], args[1:]...)
	r.line(r.relay, 0, startPatience, "relay is ready")
}

// startForwarder starts a forwarder, the first or one more.
func (r *rig) startForwarder() *netlab.Process {
	r.t.Helper()
	return r.startForwarderTo(localPort, r.protocol)
}

func (r *rig) startForwarderTo(port, protocol string) *netlab.Process {
	r.t.Helper()
	args := append(r.logging(), "--protocol="+protocol,
		"--localForwardHost="+netlab.LocalAddr, "--localForwardPort="+port)
	args = append(append(args, r.setup.args...), netlab.RelayAddr, controlPort)
	return r.start(r.Client, nil, binary(r.t, "relay"), args...)
}

// registered waits until the forwarder says where users go, in a line after
// the first so many.
func (r *rig) registered(forwarder *netlab.Process, since int, patience time.Duration) string {
	r.t.Helper()
	line := r.line(forwarder, since, patience, netlab.RelayAddr+":", " -> ")
	return publicOf(line)
}

// recover waits until a user is served, over the newest registration if there
// was one in a line of the forwarder's from since on, or will be.
func (r *rig) recover(since int, serve func() error) {
	r.t.Helper()
	late := time.After(2 * noticed)
	for {
		if line, again := r.forwarder.Last(since, netlab.RelayAddr+":", " -> "); again {
			r.public = publicOf(line)
		}
		err := serve()
		if err == nil {
			return
		}
		select {
		case <-time.After(time.Second):
		case <-late:
			r.t.Fatalf("users are not served: %v", err)
		}
	}
}

// publicOf is the address for users in what a forwarder says on stdout.
func publicOf(line string) string {
	addr, _, _ := strings.Cut(line, " ")
	return netlab.PublicAddr + addr[strings.LastIndex(addr, ":"):]
}

// line waits for a line of a program with all the parts.
func (r *rig) line(p *netlab.Process, since int, patience time.Duration, parts ...string) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	line, err := p.Line(ctx, since, parts...)
	if err != nil {
		r.t.Fatal(err)
	}
	return line
}

func (r *rig) inject(f netlab.Fault) {
	r.t.Helper()
	if err := f.Inject(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) heal(f netlab.Fault) {
	r.t.Helper()
	if err := f.Heal(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// pause lets a fault last; nothing else is to be waited for.
func (r *rig) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.t.Context().Done():
	}
}

// state is what a program says of itself.
type state struct {
	checker.Figures
	Tunnels int `json:"tunnels"`
	Users   int `json:"users"`
	Waiting int `json:"waiting"`
}

// state asks a relay or a forwarder for its state.
func (r *rig) state(p *netlab.Process) (s state) {
	r.t.Helper()
	since := p.Lines()
	if err := p.Signal(syscall.SIGUSR1); err != nil {
		r.t.Fatal(err)
	}
	line := r.line(p, since, startPatience, `"msg":"state"`)
	if err := json.Unmarshal([]byte(line), &s); err != nil {
		r.t.Fatalf("%v: %s", err, line)
	}
	return s
}
