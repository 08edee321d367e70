package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// Each setting of a process and of its relay either changes with a reload, or is refused:
// nothing is passed over in silence.
func TestEachSettingIsReloadedOrRefused(t *testing.T) {
	var f flags
	f.define()
	all := []string{"port"}
	for _, fs := range []*pflag.FlagSet{f.ofRelay, f.ofRelayLimits, f.ofBoth} {
		fs.VisitAll(func(flag *pflag.Flag) { all = append(all, flag.Name) })
	}
	for _, name := range all {
		fixed, reloaded := slices.Contains(fixedSettings, name), slices.Contains(reloadedSettings, name)
		if name != "config" && fixed == reloaded {
			t.Errorf("%s is fixed: %v, and reloaded: %v; want one of them", name, fixed, reloaded)
		}
	}
	for _, name := range slices.Concat(fixedSettings, reloadedSettings) {
		if !slices.Contains(all, name) {
			t.Errorf("there is no setting %s", name)
		}
	}
}

// load returns the setup of a file with this text.
func load(t *testing.T, text string) *setup {
	t.Helper()
	path := filepath.Join(t.TempDir(), "relay.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var f flags
	f.define()
	f.configFile = path
	s, err := f.loadSetup(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCompare(t *testing.T) {
	const relay, service = "[server]\nport = 8080\n", "[relay]\naddress = \"localhost:8080\"\n[services.web]\nlocal = \"80\"\n"
	for _, tt := range []struct{ now, next, changed, faults string }{
		{relay, "# a comment\n" + relay, "", ""},
		{relay, relay + "maxUsers = 1\nlease = \"1m\"\n", "server.lease server.maxUsers", ""},
		{relay + "maxUsers = 1\n", relay, "server.maxUsers", ""},
		{relay, "logLevel = \"debug\"\n" + relay, "logLevel", ""},
		{relay, "[server]\nport = 8081\n", "server.port", "2:server.port"},
		{relay + "bind = \"127.0.0.1\"\n", relay, "server.bind", "1:server.bind"},
		{relay, relay + "acmeDomain = \"relay.example.com\"\n", "server.acmeDomain", "3:server.acmeDomain"},
		{relay, service, "services.web", "0:server 3:services.web"},
		{service, relay, "services.web", "1:server 0:services.web"},
		{service, "logLevel = \"debug\"\nmetricsTunnels = 7\n" + service, "logLevel metricsTunnels", ""},
		{service, service + "users = 3\n", "services.web", ""},
		{service, "drain = \"1s\"\n" + service, "drain", ""},
		{service, service + "[services.db]\nlocal = \"81\"\n", "services.db", ""},
		{service + "[services.db]\nlocal = \"81\"\n", service, "services.db", ""},
		{service, strings.Replace(service, "web", "db", 1), "services.db services.web", ""},
		{service, strings.Replace(service, "8080", "8081", 1), "services.web", ""},
	} {
		changed, faults := compare(load(t, tt.now), load(t, tt.next))
		var keys []string
		for _, f := range faults {
			keys = append(keys, strings.Join([]string{strconv.Itoa(f.Line), f.Key}, ":"))
		}
		if got := strings.Join(changed, " "); got != tt.changed {
			t.Errorf("from %q to %q: %q has changed, want %q", tt.now, tt.next, got, tt.changed)
		}
		if got := strings.Join(keys, " "); got != tt.faults {
			t.Errorf("from %q to %q: the faults are %q, want %q", tt.now, tt.next, got, tt.faults)
		}
	}
}
