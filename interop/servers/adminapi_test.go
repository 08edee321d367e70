//go:build linux

package servers_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/conntest"
)

// fuzzed bounds how long the relay is fuzzed: three runs, of which none may take longer than
// patience.
const fuzzed = 4 * patience

// fuzzerFiles has what the fuzzer is installed and set up with.
const fuzzerFiles = "../python/schemathesis"

// TestAdminAPI has schemathesis send a relay, which has a tunnel and users, what the OpenAPI
// document allows and what it does not: no answer is an error of the server's, and each is
// as the document says. Without the token nothing is answered but that it is missing.
func TestAdminAPI(t *testing.T) {
	t.Parallel()
	fuzzer := installFuzzer(t)
	a := newAdministered(t)
	a.fuzz(t, fuzzer, "--max-time=25", "--exclude-checks=ignored_auth,refused", "--header=Authorization: Bearer "+a.token,
		"--exclude-operation-id=streamEvents", // never ends
		"--exclude-operation-id=drain",        // ends the others: it comes last
		"--exclude-operation-id=logIn",        // takes a while with a wrong token, so it has a run of its own
	)
	a.fuzz(t, fuzzer, "--max-time=5", "--exclude-checks=refused", "--include-tag=session")
	a.fuzz(t, fuzzer, "--max-time=10", "--checks=refused", "--exclude-tag=session")
	if answer := a.send(t, "GET", "/status"); answer.StatusCode != http.StatusOK {
		t.Errorf("the status of the relay: %s", answer.Status)
	}
	if answer := a.send(t, "POST", "/drain"); answer.StatusCode != http.StatusAccepted {
		t.Errorf("the end of the relay: %s", answer.Status)
	}
	<-a.relay.exited
	if status := a.relay.cmd.ProcessState.ExitCode(); status != 0 {
		t.Errorf("the relay ends with status %d", status)
	}
}

// installFuzzer installs schemathesis, and returns its path.
func installFuzzer(t *testing.T) (path string) {
	t.Helper()
	python := program(t, "python3", "python3 python3-venv")
	if exec.Command(python, "-c", "import ensurepip").Run() != nil {
		t.Skip("ensurepip is not installed: apt-get install python3-venv")
	}
	venv := t.TempDir()
	requirements, err := filepath.Abs(filepath.Join(fuzzerFiles, "requirements.txt"))
	if err != nil {
		t.Fatal(err)
	}
	pip := filepath.Join(venv, "bin", "pip")
	for _, args := range [][]string{
		{python, "-m", "venv", venv},
		{pip, "install", "--quiet", "--no-deps", "--disable-pip-version-check", "--requirement=" + requirements},
	} {
		install := command(t, args[0], args[1:]...)
		install.Env = os.Environ() // says where packages come from
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", install, err, out)
		}
	}
	return filepath.Join(venv, "bin", "st")
}

// administered is a relay with a tunnel and users.
type administered struct {
	relay *process
	base  string // of the API
	token string
}

func newAdministered(t *testing.T) *administered {
	t.Helper()
	dir, local := t.TempDir(), echo(t)
	a := &administered{token: "0123456789abcdef", base: "http://" + net.JoinHostPort(loopback, conntest.FreePort(t))}
	tokens, secret, adminToken := filepath.Join(dir, "tokens"), filepath.Join(dir, "secret"), filepath.Join(dir, "admin")
	script := `umask 077; "$0" token new --name=db1 2>"$1/shown" >"$2" && grep -o 'relay_[A-Z2-7]*' "$1/shown" | head -1 >"$3"`
	run(t, command(t, "/bin/sh", "-c", script, relayCommand, dir, tokens, secret), nil)
	if err := os.WriteFile(adminToken, []byte(a.token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	port := conntest.FreePort(t)
	a.relay = start(t, commandFor(t, fuzzed, relayCommand, "--bind="+loopback, "--ports=24000-24999", "--stateDir="+dir, "--tokens="+tokens, "--drain=100ms",
		"--adminListen="+strings.TrimPrefix(a.base, "http://"), "--adminTokenFile="+adminToken, port))
	a.relay.await(t, "relay is ready")
	line := start(t, commandFor(t, fuzzed, relayCommand, "--localForwardHost="+loopback, "--localForwardPort="+local, "--tokenFile="+secret,
		"--stateDir="+t.TempDir(), loopback, port)).await(t, " -> ")
	public, _, _ := strings.Cut(line, " -> ")
	keepUsing(t, public)
	return a
}

// keepUsing has users come and go until the test ends. The fuzzer ends and refuses them.
func keepUsing(t *testing.T, address string) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-stopped })
	go func() {
		defer close(stopped)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		var conns [8]net.Conn // a few at a time
		for i := 0; ; i = (i + 1) % len(conns) {
			if conns[i] != nil {
				conns[i].Close()
				conns[i] = nil
			}
			select {
			case <-stop:
				for _, conn := range conns {
					if conn != nil {
						conn.Close()
					}
				}
				return
			case <-tick.C:
			}
			if conn, err := net.Dial("tcp", address); err == nil {
				conns[i] = conn
				io.WriteString(conn, "hello") // fails if it was refused meanwhile
			}
		}
	}()
}

// fuzz runs the fuzzer. The seed is always the same, so that a change fails for what it
// changes.
func (a *administered) fuzz(t *testing.T, path string, args ...string) {
	t.Helper()
	dir := t.TempDir() // where it also writes what it remembers
	if err := os.CopyFS(dir, os.DirFS(fuzzerFiles)); err != nil {
		t.Fatal(err)
	}
	document := filepath.Join(dir, "openapi.yaml")
	if err := os.WriteFile(document, api.OpenAPI, 0o600); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"--config-file=schemathesis.toml", "run", document, "--url=" + a.base + "/api/v1", "--seed=1",
		"--request-timeout=60", "--suppress-health-check=all", "--no-color", "--continue-on-failure"}, args...)
	fuzz := command(t, path, args...)
	fuzz.Dir = dir
	fuzz.Env = append(fuzz.Env, "SCHEMATHESIS_HOOKS=checks", "PYTHONDONTWRITEBYTECODE=1", "HYPOTHESIS_STORAGE_DIRECTORY="+t.TempDir(), "PYTHONUTF8=1")
	if out, err := fuzz.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", fuzz, err, out)
	} else {
		t.Logf("%s", out)
	}
}

// send sends a request with the token.
func (a *administered) send(t *testing.T, method, path string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, a.base+"/api/v1"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+a.token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer
}
