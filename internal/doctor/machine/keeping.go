package machine

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/certificate"
	"github.com/seed96252745/relay/internal/doctor"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/secretfile"
)

// littleSpace is less than a relay writes in a year, and enough to notice in time.
const littleSpace = 100 << 20

// stateDir looks at the folder for what outlives a restart.
func (m *Machine) stateDir(context.Context) doctor.Finding {
	info, err := os.Stat(m.StateDir)
	switch {
	case isAbsent(err):
		return skipped("%s is not there yet: the relay makes it when it starts", m.StateDir)
	case err != nil:
		return problem("give a folder with --stateDir that the user who runs relay may use", "%s", doctor.Plain(err.Error()))
	case !info.IsDir():
		return problem("give a folder with --stateDir", "%s is no folder", m.StateDir)
	}
	probe, err := os.CreateTemp(m.StateDir, ".doctor-*")
	if err != nil {
		return problem("run the doctor as the user who runs relay; if it is that: give a folder with --stateDir that it may write to, "+
			"or leases and keys are lost at each restart", "%s", doctor.Plain(err.Error()))
	}
	_ = probe.Close()
	_ = os.Remove(probe.Name())
	found := m.StateDir + " can be written to"
	if free, known := freeSpace(m.StateDir); known {
		found += ", with " + doctor.Amount(free) + " left"
		if free < littleSpace {
			return problem("make room: leases that cannot be written are lost at the next restart", "%s", found)
		}
	}
	const others = 0o077
	if mode := info.Mode().Perm(); mode&others != 0 && runtime.GOOS != "windows" {
		return warning("chmod 700 "+m.StateDir, "%s; others on this machine have access, with mode %04o", found, mode)
	}
	return ok("%s", found)
}

// leases reads the leases of the relay at this control port.
func (m *Machine) leases(context.Context) doctor.Finding {
	if m.Control == 0 {
		return skipped("no port is given: relay doctor 8080 has its leases looked at")
	}
	name := filepath.Join(m.StateDir, fmt.Sprintf("leases-%d.db", m.Control))
	if _, err := os.Stat(name); isAbsent(err) {
		return ok("there are none yet")
	}
	if m.running {
		return ok("%s is in use by the relay", name)
	}
	file, err := lease.Open(name)
	switch {
	case errors.Is(err, lease.ErrInUse):
		return ok("%s is in use by a relay", name)
	case errors.Is(err, lease.ErrDamaged):
		return problem("the relay puts it aside when it starts, and forwarders get other ports: restore it from a backup before that, if there is one", "%s", doctor.Plain(err.Error()))
	case err != nil:
		return problem("run the doctor as the user who runs relay", "%s", doctor.Plain(err.Error()))
	}
	defer func() { _ = file.Close() }()
	all, err := file.Load()
	if err != nil {
		return warning("a newer relay may have written it; those leases are left out", "%s: %s, and some that cannot be read", name, doctor.Counted(len(all), "lease"))
	}
	outside := 0
	for _, l := range all {
		if !m.Ports.Contains(l.Port) {
			outside++
		}
	}
	if outside > 0 {
		return warning("widen --ports to what it was, or their forwarders get other ports", "%s: %s; outside of %s: %d", name, doctor.Counted(len(all), "lease"), m.Ports, outside)
	}
	return ok("%s: %s", name, doctor.Counted(len(all), "lease"))
}

// certificate looks at what the relay shows in TLS.
func (m *Machine) certificate(context.Context) doctor.Finding {
	if m.Cert == "" {
		return m.keptCertificate()
	}
	pair, err := tls.LoadX509KeyPair(m.Cert, m.Key)
	if err != nil {
		return problem("give files of one certificate and its key, that the user who runs relay may read", "%s", doctor.Plain(err.Error()))
	}
	file, _, err := secretfile.Open(m.Key)
	if err != nil {
		return problem("chmod 600 "+m.Key, "%s", doctor.Plain(err.Error()))
	}
	_ = file.Close()
	return explainCertificate(m.Cert, pair.Leaf)
}

func explainCertificate(name string, leaf *x509.Certificate) doctor.Finding {
	now := time.Now()
	found := fmt.Sprintf("%s is for %s, from %s until %s", name, doctor.NamesOf(leaf), doctor.Day(leaf.NotBefore), doctor.Day(leaf.NotAfter))
	switch {
	case now.After(leaf.NotAfter):
		return problem("renew it; forwarders with --tlsPin alone do not mind", "%s: it has expired", found)
	case now.Before(leaf.NotBefore):
		return problem("set the clock of this machine, or wait", "%s: it is not valid yet; here it is %s", found, doctor.Moment(now))
	case leaf.NotAfter.Sub(now) < doctor.RenewSoon:
		return warning("renew it; the relay reads both files again when they change", "%s: that is in %d days", found, int(leaf.NotAfter.Sub(now)/(24*time.Hour)))
	case len(leaf.DNSNames)+len(leaf.IPAddresses) == 0:
		return warning("forwarders have to use --tlsPin", "%s", found)
	}
	return ok("%s", found)
}

// keptCertificate looks at the certificate in the state directory: one from an authority, if
// there is any.
func (m *Machine) keptCertificate() doctor.Finding {
	names, err := filepath.Glob(filepath.Join(m.StateDir, "acme", "certificates", "*", "*", "*.crt"))
	if err != nil || len(names) == 0 {
		return m.ownCertificate()
	}
	content, err := os.ReadFile(names[0])
	if err != nil {
		return problem("run the doctor as the user who runs relay", "%s", doctor.Plain(err.Error()))
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return problem("remove it, and the relay gets another one", "%s has no certificate in PEM", names[0])
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return problem("remove it, and the relay gets another one", "%s: %s", names[0], doctor.Plain(err.Error()))
	}
	return explainCertificate(names[0], leaf)
}

// ownCertificate looks at the certificate that the relay makes itself.
func (m *Machine) ownCertificate() doctor.Finding {
	name := filepath.Join(m.StateDir, "selfsigned.pem")
	if _, err := os.Stat(name); isAbsent(err) {
		return skipped("there is none: the relay makes one when it starts, if it can keep it")
	}
	own, err := certificate.SelfSigned(m.StateDir)
	if err != nil {
		return problem("run the doctor as the user who runs relay; "+
			"without it every forwarder needs a new pin", "%s", doctor.Plain(err.Error()))
	}
	return ok("of the relay's own making; forwarders use --tlsPin=%s", certificate.Pin(own.Leaf))
}

// tokens reads the tokens file as the relay does.
func (m *Machine) tokens(context.Context) doctor.Finding {
	switch {
	case m.Tokens == "" && m.knows:
		return ok("the relay that runs lets in those whom it knows; with --tokens its file is looked at")
	case m.Tokens == "":
		return warning("to let in only those you know:   relay token new --name=<name> >>tokens, and --tokens=tokens",
			"none: anybody who finds the relay may open ports on this machine")
	}
	tokens, err := auth.Read(m.Tokens)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return problem("give the path of a file that exists", "%s", doctor.Plain(err.Error()))
	case err != nil:
		return problem("the relay would not start with it:   relay token check "+m.Tokens, "%s", doctor.Plain(err.Error()))
	}
	expired, now := 0, time.Now()
	for _, id := range tokens.All() {
		if id.Expired(now) {
			expired++
		}
	}
	if expired > 0 {
		return warning("have new ones made, or remove their lines:   relay token check "+m.Tokens, "%s: %s; expired: %d", m.Tokens, doctor.Counted(len(tokens.All()), "token"), expired)
	}
	return ok("%s: %s", m.Tokens, doctor.Counted(len(tokens.All()), "token"))
}
