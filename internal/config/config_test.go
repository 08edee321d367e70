package config_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/config"
)

var update = flag.Bool("update", false, "write what is said now into testdata")

// Each file has the faults that stand beside it: all of them, in the order of its lines.
func TestFaults(t *testing.T) {
	files, err := filepath.Glob("testdata/faults/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no files: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, err = config.Load(private(t, filepath.Base(file), string(text)))
		var faults *config.Faults
		if !errors.As(err, &faults) {
			t.Errorf("%s: %v, want faults", file, err)
			continue
		}
		faults.Path = filepath.Base(file)
		golden := strings.TrimSuffix(file, ".toml") + ".txt"
		got := faults.Error() + "\n"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: the faults are\n%s\nand in %s\n%s", file, got, golden, want)
		}
	}
}

// private writes a file that only its owner can read.
func private(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A health check is the same in a word, as a flag has it, and in a table.
func TestHealthCheckInAWord(t *testing.T) {
	for _, text := range []string{"tcp", "http:/healthz", "http:/a?b=c status=401", "http:/ status=204 interval=30s", "tcp interval=2s"} {
		check, err := config.ParseHealthCheck(text)
		if err != nil || check.String() != text {
			t.Errorf("%q is read as %v, %v", text, check, err)
		}
	}
	for _, text := range []string{"", "TCP", "http:", "http://a/", "http:a", "tcp status", "tcp status=x", "tcp interval=5", "tcp every=5s", "tcp,status=200"} {
		if check, err := config.ParseHealthCheck(text); err == nil {
			t.Errorf("%q is read as %v", text, check)
		}
	}
}

// A file that is no configuration at all is refused in a sentence that says what to do.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ name, path, want string }{
		{"missing", filepath.Join(dir, "none.toml"), "there is no file "},
		{"folder", dir, " is a folder: give the path of a file, such as "},
		{"empty", private(t, "empty.toml", " \n\t\n"), " is empty: relay init   writes a file to begin with"},
		{"binary", private(t, "binary.toml", "port = 1\x00\x01"), " is no text: it has bytes that are zero"},
		{"UTF-16", private(t, "utf16.toml", "\xff\xfep\x00"), " is in UTF-16: save it in UTF-8"},
		{"Latin-1", private(t, "latin1.toml", "# one\n# caf\xe9\n"), ":2: that is no UTF-8: save the file in UTF-8"},
		{"huge", private(t, "huge.toml", strings.Repeat("# much\n", 1<<18)), " has more than 1048576 bytes: that is no configuration"},
		{"comments", private(t, "comments.toml", "# nothing\n"), ": it has neither a relay nor a service; "},
	} {
		if _, err := config.Load(tt.path); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

const withToken = "[relay]\naddress = \"relay.example.com:8080\"\ntoken = \"relay_secret\"\n[services.web]\nlocal = \"80\"\n"

// A secret in a file is refused if others can read it, and the secret is not repeated.
func TestSecret(t *testing.T) {
	path := private(t, "relay.toml", withToken)
	file, err := config.Load(path)
	if err != nil || file.Relay.Token != "relay_secret" {
		t.Errorf("a file of its owner alone: %v", err)
	}
	if runtime.GOOS == "windows" {
		return // which has access lists instead of modes
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = config.Load(path)
	if err == nil || !strings.Contains(err.Error(), ":3:1: relay.token: others can read this file") || strings.Contains(err.Error(), "relay_secret") {
		t.Errorf("a file that others can read: %v", err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(withToken, "token =", "tokenFile =", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path); err != nil {
		t.Errorf("a file without a secret that others can read: %v", err)
	}
}

// A text that an editor on Windows has saved begins with a mark that means nothing.
func TestByteOrderMark(t *testing.T) {
	if _, err := config.Load(private(t, "relay.toml", "\xef\xbb\xbf[server]\r\nport = 8080\r\n")); err != nil {
		t.Error(err)
	}
	_, err := config.Load(private(t, "relay.toml", "\xef\xbb\xbfserver.port = true\n"))
	if err == nil || !strings.Contains(err.Error(), ":1:8: server.port: ") {
		t.Errorf("the fault of the first line is %v", err)
	}
}

// The table of a health check can be written in all three ways that TOML has.
func TestHealthCheckTable(t *testing.T) {
	const service = "[relay]\naddress = \"relay.example.com:8080\"\n[services.web]\nlocal = \"80\"\n"
	for _, text := range []string{
		"healthCheck = { http = \"/up\", status = 204 }\n",
		"healthCheck.http = \"/up\"\nhealthCheck.status = 204\n",
		"[services.web.healthCheck]\nhttp = \"/up\"\nstatus = 204\n[services.db]\nlocal = \"81\"\n",
	} {
		f, err := config.Load(private(t, "relay.toml", service+text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if check := f.Services[0].HealthCheck; check == nil || check.String() != "http:/up status=204" {
			t.Errorf("%q is %v", text, check)
		}
	}
}

// Of a text in which everything is wrong only so much is looked at: a reload waits for it.
func TestHopelessFiles(t *testing.T) {
	const keys = 20000
	for _, text := range []string{
		"relay = { " + strings.Repeat("x = 1, ", keys) + "y = 1 }\n", strings.Repeat("x = 1\n", keys),
		strings.Repeat("a.", 10*keys) + "a = 1\n", "[" + strings.Repeat("a.", 10*keys) + "a]\n", "[[" + strings.Repeat("a.", 10*keys) + "a]]\n",
	} {
		_, err := config.Load(private(t, "relay.toml", text))
		var faults *config.Faults
		if !errors.As(err, &faults) || len(faults.List) > 1000 || len(err.Error()) > 1<<16 {
			t.Errorf("%.20q...: %.200v", text, err)
		}
	}
}

// Paths are relative to the file, and values are of the types that they have in Go.
func TestLoad(t *testing.T) {
	path := private(t, "relay.toml", `
drain = "90s"
stateDir = "state"
[server]
port = 8080
tokens = "/etc/relay/tokens"
maxUsersPerSource = 0
trustedProxies = ["10.0.0.0/8", "192.0.2.0/24"]
[relay]
address = "relay.example.com:8080"
tlsPin = ["sha256//a"]
[services]
ssh.local = "22"
ssh.port = 20022
[services.web]
local = "unix:web.sock"
healthCheck = { http = "/healthz", status = 204, interval = "5s" }
[services.db]
local = "unix:@db"
healthCheck = "http:/up"
`)
	f, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	for _, tt := range []struct{ got, want any }{
		{*f.Drain, 90 * time.Second}, {f.StateDir, filepath.Join(dir, "state")},
		{*f.Server.Port, 8080}, {f.Server.Tokens, "/etc/relay/tokens"}, {*f.Server.MaxUsersPerSource, 0}, {f.Server.TrustedProxies[1], "192.0.2.0/24"},
		{f.Relay.TLSPin[0], "sha256//a"}, {len(f.Services), 3},
		{f.Services[0].Name, "ssh"}, {*f.Services[0].Port, 20022},
		{f.Services[1].Local, "unix:" + filepath.Join(dir, "web.sock")}, {*f.Services[1].HealthCheck.Status, 204},
		{f.Services[2].Local, "unix:@db"}, {f.Services[2].HealthCheck.HTTP, "/up"},
		{f.At("services.web.healthCheck").Line, 17},
	} {
		if tt.got != tt.want {
			t.Errorf("%v, want %v", tt.got, tt.want)
		}
	}
	given := make(map[string]string)
	config.Given(f.Server, func(key, value string) { given[key] = value })
	if len(given) != 4 || given["maxUsersPerSource"] != "0" || given["trustedProxies"] != "10.0.0.0/8,192.0.2.0/24" {
		t.Errorf("given are %v", given)
	}
}

// Docs/configuration.md has every key, in the order of the structs, with the kind of its value
// and what it is for.
func TestConfigurationPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, table := range config.Tables() {
		for _, k := range table.Keys {
			kind := k.Kind
			if k.Words != nil {
				kind = "`\"" + strings.Join(k.Words, "\"`, `\"") + "\"`"
			}
			fmt.Fprintf(&want, "| `%s` | %s | %s |\n", k.Name, kind, k.Doc)
		}
	}
	rows := regexp.MustCompile("(?m)^\\| `.*\\n").FindAllString(string(text), -1)
	if got := strings.Join(rows, ""); got != want.String() {
		t.Errorf("the page has the rows\n%s\nand there are\n%s", got, want.String())
	}
}

// Any bytes are a file, or have faults with their lines; nothing else comes of them.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/faults/*.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	for _, seed := range []string{
		config.Template(), withToken, "[services]", "[[server]]", "services = 5", "server = {}", "a.b.c = 1\n[a]\n", "[server.port]\n", "= 1", "[", "\"", "x = [1,\n2",
		"services.a = { local = \"22\", healthCheck = { } }", "[services.a.healthCheck]\nhttp = \"/\"", "[services.\"\"]", "port = 0x", "\r", "x = \"\"\"\n",
	} {
		f.Add(seed)
	}
	path := filepath.Join(f.TempDir(), "relay.toml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := config.Load(path)
		var faults *config.Faults
		switch {
		case err == nil && file.Server == nil && file.Relay == nil && len(file.Services) == 0:
			t.Error("a file that says nothing is no file")
		case errors.As(err, &faults):
			if len(faults.List) == 0 || file == nil {
				t.Errorf("there are no faults: %v", err)
			}
			for _, fault := range faults.List {
				if fault.Line > strings.Count(text, "\n")+1 || fault.Wrong == "" {
					t.Errorf("%+v in a file with %d lines", fault, strings.Count(text, "\n")+1)
				}
			}
		}
	})
}
