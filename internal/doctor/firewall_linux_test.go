package doctor_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/seed96252745/relay/internal/doctor"
	"github.com/seed96252745/relay/internal/port"
)

// Firewalls are programs that show rules: stand-ins here, as the machine's own may not be
// changed by a test.
func TestFirewalls(t *testing.T) {
	for _, tt := range []struct {
		what, program, shows string
		want                 doctor.Status
		parts                []string
	}{
		{"none", "", "", doctor.Skipped, []string{"no rules can be read", "nft list ruleset"}},
		{"ufw is off", "ufw", "Status: inactive", doctor.OK, []string{"ufw: nothing that drops 20000-29999"}},
		{"ufw", "ufw", "Status: active\n22/tcp ALLOW Anywhere", doctor.Warning, []string{"ufw drops", "ufw status"}},
		{"ufw is open", "ufw", "Status: active\n20000:29999/tcp ALLOW Anywhere", doctor.OK, nil},
		{"firewalld", "firewall-cmd", "public (active)\n  ports: 22/tcp", doctor.Warning, []string{"firewall-cmd --list-all"}},
		{"firewalld is open", "firewall-cmd", "public (active)\n  ports: 20000-29999/tcp", doctor.OK, nil},
		{"nft", "nft", "chain input {\n type filter hook input priority filter; policy drop;\n}", doctor.Warning, []string{"nft drops"}},
		{"nft accepts", "nft", "chain input {\n type filter hook input priority filter; policy accept;\n}", doctor.OK, nil},
		{"nft is open", "nft", "chain input {\n type filter hook input priority filter; policy drop;\n tcp dport 20000-29999 accept\n}", doctor.OK, nil},
		{"iptables", "iptables", "-P INPUT DROP\n-A INPUT -p tcp --dport 22 -j ACCEPT", doctor.Warning, []string{"iptables -S INPUT"}},
		{"iptables is open", "iptables", "-P INPUT DROP\n-A INPUT -p tcp --dport 20000:29999 -j ACCEPT", doctor.OK, nil},
	} {
		t.Run(tt.what, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("PATH", dir)
			if tt.program != "" {
				script := "#!/bin/sh\nwhile read -r line; do echo \"$line\"; done <<'END'\n" + tt.shows + "\nEND\n"
				if err := os.WriteFile(filepath.Join(dir, tt.program), []byte(script), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			m := aMachine(t)
			m.Ports = port.Range{First: 20000, Last: 29999}
			var only []doctor.Check
			for _, c := range m.Checks() {
				if c.Name == "firewall" {
					only = append(only, c)
				}
			}
			run(t, only).want(t, "firewall", tt.want, tt.parts...)
		})
	}
}
