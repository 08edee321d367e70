package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/certificate"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/doctor"
	"github.com/seed96252745/relay/internal/doctor/machine"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/port"
)

// Package machine is tested here, with the relays, the certificates and the strangers that
// the forwarder's side is tested with.

// settings are files below /proc/sys.
type settings map[string]string

func (s settings) root() fstest.MapFS {
	root := fstest.MapFS{"proc/version": {}}
	for name, text := range s {
		root["proc/sys/"+name] = &fstest.MapFile{Data: []byte(text + "\n")}
	}
	return root
}

// machine returns one on which all is well, with four public ports.
func aMachine(t *testing.T) *machine.Machine {
	t.Helper()
	first := conntest.FreePorts(t, 4)
	dir := filepath.Join(t.TempDir(), "relay")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return &machine.Machine{Bind: loopback, Ports: port.Range{First: first, Last: first + 3}, StateDir: dir, Root: settings{}.root()}
}

func TestMachineSettings(t *testing.T) {
	ports := port.Range{First: 20000, Last: 29999}
	for _, tt := range []struct {
		what  string
		s     settings
		check string
		want  doctor.Status
		parts []string
	}{
		{"nothing to see", settings{}, "outgoing ports", doctor.Skipped, nil},
		{"apart", settings{"net/ipv4/ip_local_port_range": "32768\t60999"}, "outgoing ports", doctor.OK, []string{"32768-60999", "20000-29999"}},
		{"overlap", settings{"net/ipv4/ip_local_port_range": "1024\t65535"}, "outgoing ports", doctor.Warning,
			[]string{"sysctl net.ipv4.ip_local_reserved_ports=20000-29999"}},
		{"reserved", settings{"net/ipv4/ip_local_port_range": "1024 65535", "net/ipv4/ip_local_reserved_ports": "8080,20000-29999"},
			"outgoing ports", doctor.OK, []string{"are kept for the relay"}},
		{"reserved in part", settings{"net/ipv4/ip_local_port_range": "1024 65535", "net/ipv4/ip_local_reserved_ports": "20000-20100"},
			"outgoing ports", doctor.Warning, nil},
		{"queues", settings{"net/core/somaxconn": "4096", "net/ipv4/tcp_max_syn_backlog": "2048"}, "connections", doctor.OK,
			[]string{"net.core.somaxconn=4096, net.ipv4.tcp_max_syn_backlog=2048"}},
		{"a short queue", settings{"net/core/somaxconn": "128", "net/ipv4/tcp_max_syn_backlog": "2048"}, "connections", doctor.Warning,
			[]string{"sysctl net.core.somaxconn=4096"}},
		{"no conntrack", settings{}, "conntrack", doctor.OK, nil},
		{"conntrack", settings{"net/netfilter/nf_conntrack_count": "12", "net/netfilter/nf_conntrack_max": "262144"}, "conntrack", doctor.OK,
			[]string{"12 of 262144"}},
		{"a small conntrack", settings{"net/netfilter/nf_conntrack_count": "12", "net/netfilter/nf_conntrack_max": "8192"}, "conntrack", doctor.Warning,
			[]string{"nf_conntrack_max="}},
		{"a full conntrack", settings{"net/netfilter/nf_conntrack_count": "260000", "net/netfilter/nf_conntrack_max": "262144"}, "conntrack", doctor.Problem,
			[]string{"nearly full"}},
		{"nonsense", settings{"net/netfilter/nf_conntrack_max": "many", "net/ipv4/ip_local_port_range": "1"}, "conntrack", doctor.OK, nil},
		{"little room for descriptors", settings{"fs/file-max": "1"}, "descriptors", doctor.Warning, nil},
	} {
		t.Run(tt.what, func(t *testing.T) {
			m := aMachine(t)
			m.Root = tt.s.root()
			var only []doctor.Check
			m.Ports = ports
			for _, c := range m.Checks() {
				if c.Name == tt.check {
					only = append(only, c)
				}
			}
			run(t, only).want(t, tt.check, tt.want, tt.parts...)
		})
	}
}

func TestMachineIsWell(t *testing.T) {
	m := aMachine(t)
	tokens, _ := tokensFile(t, func(*auth.Identity) {})
	addr, _ := startRelay(t, node.Config{Tokens: tokens}, 4)
	_, control, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	if m.Control, err = strconv.Atoi(control); err != nil {
		t.Fatal(err)
	}
	if _, err := certificate.SelfSigned(m.StateDir); err != nil {
		t.Fatal(err)
	}
	m.Root = os.DirFS("/")
	r := run(t, m.Checks())
	r.want(t, "control port", doctor.OK, control+": a relay with the protocol of this version answers")
	r.want(t, "state directory", doctor.OK, m.StateDir+" can be written to")
	r.want(t, "leases", doctor.OK, "none yet")
	r.want(t, "certificate", doctor.OK, "--tlsPin=sha256//")
	r.want(t, "tokens", doctor.Warning, "anybody who finds the relay")
	if runtime.GOOS == "linux" {
		r.want(t, "public ports", doctor.OK, "0 of "+m.Ports.String()+" are taken")
	}
	r.arePrintable(t)
}

func TestMachinePorts(t *testing.T) {
	m := aMachine(t)
	free := conntest.FreePort(t)
	var err error
	if m.Control, err = strconv.Atoi(free); err != nil {
		t.Fatal(err)
	}
	r := run(t, m.Checks())
	r.want(t, "control port", doctor.OK, free+" is free")
	r.want(t, "public ports", doctor.OK, "all 4 of")

	taken, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(m.Ports.First+1)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	r = run(t, m.Checks())
	r.want(t, "public ports", doctor.Warning, fmt.Sprintf("1 of %s cannot be opened: %d", m.Ports, m.Ports.First+1))

	m.Ports = port.Range{First: m.Ports.First + 1, Last: m.Ports.First + 1}
	r = run(t, m.Checks())
	r.want(t, "public ports", doctor.Problem, "none of ", "ss -ltnp")

	_, number, err := net.SplitHostPort(serve(t, says("SSH-2.0-x\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	if m.Control, err = strconv.Atoi(number); err != nil {
		t.Fatal(err)
	}
	r = run(t, m.Checks())
	r.want(t, "control port", doctor.Problem, "an SSH server answers", "ss -ltnp")
}

func TestMachineState(t *testing.T) {
	m := aMachine(t)
	m.Control = 8080
	leases := filepath.Join(m.StateDir, "leases-8080.db")
	file, err := lease.Open(leases)
	if err != nil {
		t.Fatal(err)
	}
	for i, at := range []int{m.Ports.First, m.Ports.Last + 1} {
		l := lease.Lease{Key: lease.KeyOf("", strconv.Itoa(i))}
		if err := file.Save(l.At(lease.Place{Port: at}, nil)); err != nil {
			t.Fatal(err)
		}
	}
	r := run(t, m.Checks())
	r.want(t, "leases", doctor.OK, "is in use by a relay")
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	r = run(t, m.Checks())
	r.want(t, "leases", doctor.Warning, "2 leases; outside of "+m.Ports.String()+": 1")

	writeFile(t, leases, "this is no database, although it is long enough to be looked at")
	r = run(t, m.Checks())
	r.want(t, "leases", doctor.Problem, "damaged", "backup")

	if runtime.GOOS != "windows" {
		if err := os.Chmod(m.StateDir, 0o755); err != nil {
			t.Fatal(err)
		}
		r = run(t, m.Checks())
		r.want(t, "state directory", doctor.Warning, "mode 0755", "chmod 700 "+m.StateDir)
	}
	m.StateDir = leases
	r = run(t, m.Checks())
	r.want(t, "state directory", doctor.Problem, "is no folder")
	m.StateDir = filepath.Join(t.TempDir(), "none")
	r = run(t, m.Checks())
	r.want(t, "state directory", doctor.Skipped, "is not there yet")
	r.want(t, "certificate", doctor.Skipped, "the relay makes one")
}

func TestMachineProcesses(t *testing.T) {
	m := aMachine(t)
	started := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	well := machine.Process{Name: "the relay at port 8080", Status: api.Status{Version: "v1.2.3", Started: started, Tunnels: 1, Users: 2}}
	ill := machine.Process{Name: "the relay at port 8081", Status: api.Status{Problems: []api.Problem{{Text: "no descriptor is left\x1b[2J"}}}}
	dead := machine.Process{Name: "the relay at port 8082", Err: errors.New("it does not answer")}
	for _, tt := range []struct {
		what  string
		all   []machine.Process
		err   error
		want  doctor.Status
		parts []string
	}{
		{"none", nil, nil, doctor.OK, []string{"none runs"}},
		{"one", []machine.Process{well}, nil, doctor.OK, []string{"the relay at port 8080: version v1.2.3, since 2026-11-30 12:00 UTC, 1 tunnel, 2 users"}},
		{"with a problem", []machine.Process{well, ill}, nil, doctor.Warning, []string{"no descriptor is left?[2J", "relay status"}},
		{"dead", []machine.Process{dead}, nil, doctor.Warning, []string{"it does not answer"}},
		{"of another user", nil, errors.New("permission denied"), doctor.Warning, []string{"permission denied", "as the user who runs relay"}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			m.Running = func(context.Context) ([]machine.Process, error) { return tt.all, tt.err }
			r := run(t, m.Checks())
			r.want(t, "running", tt.want, tt.parts...)
			r.arePrintable(t)
		})
	}
}

func TestMachineCertificate(t *testing.T) {
	const days = 24 * time.Hour
	now := time.Now()
	for _, tt := range []struct {
		what        string
		from, until time.Time
		mode        os.FileMode
		want        doctor.Status
		parts       []string
	}{
		{"good", now.Add(-days), now.Add(90 * days), 0o600, doctor.OK, []string{"for localhost, relay.example.com"}},
		{"soon", now.Add(-days), now.Add(2*days + time.Hour), 0o600, doctor.Warning, []string{"in 2 days"}},
		{"expired", now.Add(-3 * days), now.Add(-days), 0o600, doctor.Problem, []string{"it has expired"}},
		{"early", now.Add(days), now.Add(3 * days), 0o600, doctor.Problem, []string{"not valid yet", "clock"}},
		{"open", now.Add(-days), now.Add(90 * days), 0o644, doctor.Problem, []string{"mode 0644", "chmod 600"}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			if tt.mode != 0o600 && runtime.GOOS == "windows" {
				return // it has no modes
			}
			m := aMachine(t)
			cert, key := certify(t, tt.from, tt.until)
			m.Cert, m.Key = filepath.Join(m.StateDir, "crt"), filepath.Join(m.StateDir, "key")
			writeFile(t, m.Cert, string(cert))
			writeFile(t, m.Key, string(key))
			if err := os.Chmod(m.Key, tt.mode); err != nil {
				t.Fatal(err)
			}
			r := run(t, m.Checks())
			r.want(t, "certificate", tt.want, tt.parts...)
		})
	}
	m := aMachine(t)
	cert, _ := certify(t, now, now.Add(days))
	_, other := certify(t, now, now.Add(days))
	m.Cert, m.Key = filepath.Join(m.StateDir, "crt"), filepath.Join(m.StateDir, "key")
	writeFile(t, m.Cert, string(cert))
	writeFile(t, m.Key, string(other))
	run(t, m.Checks()).want(t, "certificate", doctor.Problem, "one certificate and its key")
}

// One from an authority is where package acme keeps it.
func TestMachineCertificateFromAuthority(t *testing.T) {
	m := aMachine(t)
	dir := filepath.Join(m.StateDir, "acme", "certificates", "acme.example.com-directory", "relay.example.com")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cert, _ := certify(t, time.Now().Add(-time.Hour), time.Now().Add(5*24*time.Hour+time.Hour))
	name := filepath.Join(dir, "relay.example.com.crt")
	writeFile(t, name, string(cert))
	run(t, m.Checks()).want(t, "certificate", doctor.Warning, "relay.example.com", "in 5 days")
	writeFile(t, name, "none")
	run(t, m.Checks()).want(t, "certificate", doctor.Problem, "no certificate in PEM")
}

// What nobody has said is what the relay that runs says.
func TestMachineAdopts(t *testing.T) {
	m := aMachine(t)
	m.Control = 8080
	ports := m.Ports
	for _, given := range []bool{false, true} {
		m.Ports, m.PortsGiven = port.Range{First: ports.First, Last: ports.First + 1}, given
		m.Running = func(context.Context) ([]machine.Process, error) {
			return []machine.Process{{Name: "a relay", Port: 8080, Status: api.Status{Kind: api.Relay, Ports: ports.String()}}}, nil
		}
		r := run(t, m.Checks())
		r.want(t, "tokens", doctor.OK, "lets in those whom it knows")
		want := ports
		if given {
			want = m.Ports
		}
		if !strings.Contains(r["public ports"].Found, want.String()) {
			t.Errorf("given %v: %s, want %s", given, r["public ports"].Found, want)
		}
	}
}

func TestMachineTokens(t *testing.T) {
	m := aMachine(t)
	m.Tokens = filepath.Join(m.StateDir, "tokens")
	run(t, m.Checks()).want(t, "tokens", doctor.Problem, "give the path of a file that exists")

	good, secret, err := auth.New("db1")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, m.Tokens, good.Line()+"\n")
	run(t, m.Checks()).want(t, "tokens", doctor.OK, ": 1 token")

	old, _, err := auth.New("db2")
	if err != nil {
		t.Fatal(err)
	}
	old.Expires = time.Now().Add(-time.Hour)
	writeFile(t, m.Tokens, good.Line()+"\n"+old.Line()+"\n")
	run(t, m.Checks()).want(t, "tokens", doctor.Warning, "2 tokens; expired: 1")

	writeFile(t, m.Tokens, "db1 "+secret+"\n") // a secret where its hash belongs
	r := run(t, m.Checks())
	r.want(t, "tokens", doctor.Problem, "relay token check")
	for _, result := range r {
		if text := result.Found + result.Advice; auth.Conceal(text) != text {
			t.Errorf("%s shows a token: %s", result.Check, text)
		}
	}
}
