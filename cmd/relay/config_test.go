package main_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	relay "github.com/seed96252745/relay/cmd/relay"
	"github.com/seed96252745/relay/internal/config"
)

// Each flag of relay and forwarder has a key of the file, and a variable of the environment,
// which is refused if it is set and empty.
func TestEveryFlagHasKeyAndVariable(t *testing.T) {
	done, cancel := context.WithCancel(t.Context())
	cancel()
	without := map[string]string{
		"config":           "it is the file",
		"localForwardPort": "it is in local",
		"localForwardHost": "it is in local",
	}
	var keys []string
	for _, table := range config.Tables() {
		for _, k := range table.Keys {
			keys = append(keys, k.Name)
		}
	}
	upper := regexp.MustCompile("[A-Z]")
	tables := relay.FlagTables()
	for title, args := range map[string][]string{
		"Flags of the forwarder": {"--localForwardPort=6379", "localhost", "8080"},
		"Flags of the relay":     {"8080"},
		"Limits of the relay":    {"8080"},
		"Flags of both":          {"8080"},
	} {
		if len(tables[title]) == 0 {
			t.Errorf("there are no %s", title)
		}
		for _, flag := range tables[title] {
			if without[flag.Name] == "" && !slices.Contains(keys, flag.Name) {
				t.Errorf("%s: --%s has no key", title, flag.Name)
			}
			variable := "RELAY_" + strings.ToUpper(upper.ReplaceAllString(flag.Name, "_$0"))
			t.Run(variable, func(t *testing.T) {
				t.Setenv(variable, " ")
				var stdout, stderr bytes.Buffer
				status := relay.Run(done, args, &stdout, &stderr)
				if status != 2 || !strings.HasPrefix(stderr.String(), "relay: "+variable+" is set, and empty: ") {
					t.Errorf("status %d: %s", status, stderr.String())
				}
			})
		}
	}
}

// What relay init writes is right, as it is and with every setting in it in force.
func TestTemplate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.toml")
	check := func(want string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if status := relay.Run(t.Context(), []string{"check", path}, &stdout, &stderr); status != 0 || !strings.Contains(stdout.String(), want) {
			t.Errorf("status %d: %s%s", status, stdout.String(), stderr.String())
		}
	}
	var stdout, stderr bytes.Buffer
	if status := relay.Run(t.Context(), []string{"init", path}, &stdout, &stderr); status != 0 {
		t.Fatalf("status %d: %s", status, stderr.String())
	}
	check(": 1 service through relay.example.com:8080: web\n")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile(`(?m)^#([a-zA-Z[])`).ReplaceAll(text, []byte("$1"))
	if n := bytes.Count(all, []byte("\n#")); n == 0 || bytes.Equal(all, text) {
		t.Fatalf("nothing is commented in, or no comment is left: %d", n)
	}
	if err := os.WriteFile(path, all, 0o600); err != nil {
		t.Fatal(err)
	}
	check(": a relay at port 8080, and 1 service through relay.example.com:8080: web\n")
}

// Any file can be checked: it is right, or the message has its faults and the status is 2.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{
		config.Template(), "[server]\nport = 8080\n", "[server]\nport = 0\nports = \"--tokens=\"\n",
		"[relay]\naddress = \"h:1\"\n[services.a]\nlocal = \"unix:@a\"\nname = \"a --name= b\"\n", "drain = \"-1s\"\n[server]\nport = 1\ntlsCert = \"--tlsKey\"\n",
		"[relay]\naddress = \"h:1\"\ntoken = \"x\"\n[services.\"a.b\"]\nlocal = \"1\"\nallow = [\"1.2.3.4,::1\"]\n",
	} {
		f.Add(seed)
	}
	path := filepath.Join(f.TempDir(), "relay.toml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		status := relay.Run(t.Context(), []string{"check", path}, &stdout, &stderr)
		said := stderr.String()
		switch {
		case status == 0 && strings.Count(stdout.String(), "\n") == 1 && said == "":
		case status == 2 && strings.HasPrefix(said, "relay: ") && strings.Count(said, "\n") >= 2:
		default:
			t.Errorf("status %d: %q, %q", status, stdout.String(), said)
		}
	})
}
