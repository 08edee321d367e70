package machine

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/seed96252745/relay/internal/doctor"
)

const (
	// firewallWait bounds one program that shows rules.
	firewallWait = 5 * time.Second
	// maxRules bounds what is read of its output.
	maxRules = 1 << 20
)

// shower is a program that shows the rules of a firewall, if it may.
type shower struct {
	program string
	args    []string
	// drops reports whether the rules drop what they do not name.
	drops func(rules string) bool
}

func showers() []shower {
	return []shower{
		{"ufw", []string{"status"}, func(rules string) bool { return strings.Contains(rules, "Status: active") }},
		{"firewall-cmd", []string{"--list-all"}, func(rules string) bool { return strings.Contains(rules, "(active") }},
		{"nft", []string{"list", "ruleset"}, dropsByNft},
		{"iptables", []string{"-S", "INPUT"}, func(rules string) bool {
			return strings.Contains(rules, "-P INPUT DROP") || strings.Contains(rules, "-A INPUT -j DROP") || strings.Contains(rules, "-A INPUT -j REJECT")
		}},
	}
}

// dropsByNft reports whether a chain for what comes in drops by default.
func dropsByNft(rules string) bool {
	for line := range strings.Lines(rules) {
		if strings.Contains(line, "hook input") && strings.Contains(line, "policy drop") {
			return true
		}
	}
	return false
}

// firewall looks for a firewall that drops users. It cannot see that of a provider.
func (m *Machine) firewall(ctx context.Context) doctor.Finding {
	const elsewhere = "that of a provider cannot be seen from here: from elsewhere   relay doctor <host> <port>   tries it"
	var seen []string
	for _, s := range showers() {
		rules, err := s.show(ctx)
		if err != nil {
			continue
		}
		seen = append(seen, s.program)
		if s.drops(rules) && !m.names(rules) {
			return warning(fmt.Sprintf("see   %s   for rules that accept the control port and %s; %s", s, m.Ports, elsewhere),
				"%s drops what its rules do not name, and they do not name %s", s.program, m.Ports)
		}
	}
	if len(seen) == 0 {
		return skipped("no rules can be read, as root perhaps:   nft list ruleset   ufw status; %s", elsewhere)
	}
	return ok("%s: nothing that drops %s; %s", strings.Join(seen, ", "), m.Ports, elsewhere)
}

// names reports whether rules have the public ports, as 20000-29999 or 20000:29999.
func (m *Machine) names(rules string) bool {
	first, last := strconv.Itoa(m.Ports.First), strconv.Itoa(m.Ports.Last)
	return strings.Contains(rules, first+"-"+last) || strings.Contains(rules, first+":"+last)
}

func (s shower) String() string { return strings.Join(append([]string{s.program}, s.args...), " ") }

// show runs the program. What it prints is looked at, and not shown.
func (s shower) show(ctx context.Context) (string, error) {
	name, err := exec.LookPath(s.program)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, firewallWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, s.args...)
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.WaitDelay = firewallWait
	out := &bounded{}
	cmd.Stdout = out
	if err := cmd.Run(); err != nil {
		return "", err
	}
	return out.String(), nil
}

// bounded keeps the first maxRules bytes that are written to it.
type bounded struct{ bytes.Buffer }

// Write takes everything.
func (b *bounded) Write(p []byte) (int, error) {
	_, _ = b.Buffer.Write(p[:min(len(p), max(maxRules-b.Len(), 0))])
	return len(p), nil
}
