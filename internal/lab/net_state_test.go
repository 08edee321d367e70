//go:build lab && linux

package lab_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/api"
)

const (
	// known is the promise of when a relay knows that a tunnel does not work. Tests share
	// their machine, and get a little more.
	known      = 20 * time.Second
	knownSlack = 5 * time.Second
)

// becomes waits until the relay's log has the tunnel's state, in a line after the first so
// many, and returns how long that took.
func (r *rig) becomes(state string, since int) time.Duration {
	r.t.Helper()
	begin := time.Now()
	r.line(r.relay, since, 4*known, `"event":"tunnel_state_changed"`, `"to":"`+state+`"`)
	return time.Since(begin)
}

// stated is a rig with a relay whose status can be asked for.
type stated struct {
	*play
	dir string // the relay's state directory
}

func newStated(t *testing.T, protocol string, args ...string) *stated {
	t.Helper()
	dir, err := os.MkdirTemp("", "relay") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r := &stated{newPlayRig(t, protocol, setup{verbose: true, args: args, relayArgs: []string{"--stateDir=" + dir}}), dir}
	r.becomes("up", 0)
	return r
}

// status checks what relay status has of the only tunnel, and its exit status.
func (r *stated) status(state string) {
	r.t.Helper()
	out, err := exec.Command(binary(r.t, "relay"), "status", "--stateDir="+r.dir, "--json").Output()
	status, exit := 0, new(exec.ExitError)
	if errors.As(err, &exit) {
		status = exit.ExitCode()
	}
	var seen []struct{ Tunnels []api.Tunnel }
	if err := json.Unmarshal(out, &seen); err != nil || len(seen) != 1 || len(seen[0].Tunnels) != 1 {
		r.t.Fatalf("relay status: %v, %v: %s", status, err, out)
	}
	if got := seen[0].Tunnels[0].State; got != api.State(state) || status == 0 && state != "up" {
		r.t.Errorf("relay status has %q and exits with %d, want %q", got, status, state)
	}
}

// knows breaks something, and waits until the relay knows.
func (r *stated) knows(state string, breakIt func()) {
	r.t.Helper()
	r.status("up")
	since := r.relay.Lines()
	breakIt()
	took := r.becomes(state, since)
	r.status(state)
	if took > known+knownSlack {
		r.t.Errorf("%s after %v, want at most %v", state, took, known)
	}
	record(r.t, "18", "the relay knows "+state, state, fmt.Sprintf("after %.1f s", seconds(took)))
}

// mends makes good what was broken, and waits until the relay knows that, too.
func (r *stated) mends(mend func()) {
	r.t.Helper()
	since := r.relay.Lines()
	mend()
	r.becomes("up", since)
	r.status("up")
}

// eachState runs the test with a tunnel that is up, for every protocol, and for multiplex
// with several sessions.
func eachState(t *testing.T, row string, test func(t *testing.T, r *stated)) {
	eachProtocol(t, row, func(t *testing.T, protocol string) { test(t, newStated(t, protocol)) })
	t.Run(row+"/multiplex-3", func(t *testing.T) {
		t.Parallel()
		test(t, newStated(t, "multiplex", "--sessions=3"))
	})
}

// A way that swallows everything shows as such before the connection is given up.
func TestStateBlackHole(t *testing.T) {
	t.Parallel()
	eachState(t, "row18_state-black-hole", func(t *testing.T, r *stated) {
		gone := r.ClientGone()
		r.knows("relay_client_unreachable", func() { r.inject(gone) })
		r.mends(func() { r.heal(gone) })
	})
}

// A forwarder that is stopped shows as one that is silent.
func TestStateFrozen(t *testing.T) {
	t.Parallel()
	eachState(t, "row18_state-frozen", func(t *testing.T, r *stated) {
		signal := func(s syscall.Signal) {
			if err := r.forwarder.Signal(s); err != nil {
				t.Fatal(err)
			}
		}
		r.knows("relay_client_silent", func() { signal(syscall.SIGSTOP) })
		r.mends(func() { signal(syscall.SIGCONT) })
	})
}

// A local server whose machine vanishes does not accept, and neither does one that is
// killed; the relay knows of either.
func TestStateLocalServer(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"multiplex", "pool", "event"} {
		t.Run("row18_state-local-server/"+protocol, func(t *testing.T) {
			t.Parallel()
			p := newStated(t, protocol)
			p.knows("local_server_down", p.server.Kill)
			p.line(p.relay, 0, startPatience, `"to":"local_server_down"`, `"error":"connection refused"`)
			p.mends(p.startServer)
			gone := p.LocalGone()
			since := p.relay.Lines()
			p.knows("local_server_down", func() { p.inject(gone) })
			p.line(p.relay, since, startPatience, `"to":"local_server_down"`, `"error":"connection timed out"`)
			p.mends(func() { p.heal(gone) })
		})
	}
}
