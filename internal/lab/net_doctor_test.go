//go:build lab && linux

package lab_test

import (
	"os/exec"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/netlab"
)

// doctorPatience is longer than any run of the doctor here takes.
const doctorPatience = 4 * time.Minute

// doctor runs the doctor on one of the hosts.
func (r *rig) doctor(h *netlab.Host, args ...string) *netlab.Process {
	r.t.Helper()
	return r.start(h, []string{"HOME=" + r.t.TempDir()}, binary(r.t, "relay"), append([]string{"doctor"}, args...)...)
}

// says waits for the line of a check, which has all of the parts.
func (r *rig) says(p *netlab.Process, parts ...string) {
	r.t.Helper()
	r.line(p, 0, doctorPatience, parts...)
}

// newDoctorRig makes a rig whose local server may be missing: nobody needs it.
func newDoctorRig(t *testing.T, fault func(*netlab.Lab) netlab.Fault) *rig {
	t.Helper()
	return newRig(t, "multiplex", setup{fault: fault})
}

// A hop that swallows large packets has small ones pass, and the doctor says so.
func TestDoctorBlackHole(t *testing.T) {
	t.Parallel()
	r := newDoctorRig(t, func(l *netlab.Lab) netlab.Fault { return l.BlackHole(1400) })
	p := r.doctor(r.Client, netlab.RelayAddr, controlPort)
	r.says(p, "✓ ok       public port")
	r.says(p, "✗ problem  large packets  segments of 1448 bytes (MTU 1500) to the relay vanish, while small ones pass")
	r.says(p, "tcp_mtu_probing=1")
	r.says(p, "- skipped  the rest       what needs that: multiplex, event, pool, protocol")
	r.says(p, "1 problem, 0 warnings.")
}

// A NAT that forgets what is silent for 10 s, before the keep-alives of 15 s come, is found
// when somebody asks for it.
func TestDoctorShortMemory(t *testing.T) {
	t.Parallel()
	r := newDoctorRig(t, (*netlab.Lab).ShortMemory)
	p := r.doctor(r.Client, "--idle=30s", netlab.RelayAddr, controlPort)
	for _, protocol := range []string{"multiplex", "event", "pool"} {
		r.says(p, "✓ ok       "+protocol)
	}
	r.says(p, "✗ problem  idle           idle connections live for ", ", and are dead after ", "30s (no answer)")
}

// A firewall at the relay that lets in the control port alone is found from both sides.
func TestDoctorFirewall(t *testing.T) {
	t.Parallel()
	r := newDoctorRig(t, nil)
	for _, rule := range [][]string{
		{"-A", "INPUT", "-i", "lo", "-j", "ACCEPT"},
		{"-A", "INPUT", "-p", "tcp", "--dport", controlPort, "-j", "ACCEPT"},
		{"-P", "INPUT", "DROP"},
	} {
		if err := r.Relay.Run(t.Context(), "iptables", rule...); err != nil {
			t.Fatal(err)
		}
	}
	p := r.doctor(r.Client, netlab.RelayAddr, controlPort)
	r.says(p, "✓ ok       port ")
	r.says(p, "✗ problem  public port    a user from here to "+netlab.RelayAddr+":", "no answer")
	r.says(p, "> open port ", "in the firewall of the relay's machine")
	here := r.doctor(r.Relay, controlPort)
	r.says(here, "✓ ok       control port     "+controlPort+": a relay with the protocol of this version answers")
	tool := "iptables"
	if _, err := exec.LookPath("nft"); err == nil {
		tool = "nft" // which is asked first, and shows the rules of iptables, too
	}
	r.says(here, "! warning  firewall         "+tool+" drops what its rules do not name, and they do not name 20000-29999")
}

// A relay's machine that drops all connections, as one that is down, does not answer.
func TestDoctorNoAnswer(t *testing.T) {
	t.Parallel()
	r := newDoctorRig(t, nil)
	r.inject(r.ClientGone())
	p := r.doctor(r.Client, netlab.RelayAddr, controlPort)
	r.says(p, "✗ problem  connect        "+control+": no answer")
	r.says(p, "> a firewall drops it, or the machine is down")
}
