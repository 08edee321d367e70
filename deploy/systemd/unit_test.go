package systemd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed96252745/relay/deploy/systemd"
)

// The files in this folder are what the package writes.
func TestFiles(t *testing.T) {
	for _, unit := range systemd.Units() {
		want, err := unit.Text()
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(unit.FileName())
		if err != nil || string(got) != want {
			t.Errorf("%s is not what its template says (%v): go generate ./deploy/systemd", unit.FileName(), err)
		}
	}
}

// Names and paths arrive as they are, whatever is in them, and nothing in them is a setting.
func TestQuoting(t *testing.T) {
	unit := systemd.Unit{Name: "relay", Description: "100%", Command: "/opt/my relay/relay", Config: `/etc/50%/$HOME/a "b"\c; d`}
	text, err := unit.Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Description=100%%\n",
		`ExecStart="/opt/my relay/relay" --config "/etc/50%%/$$HOME/a \"b\"\\c; d"` + "\n",
		`ExecReload="/opt/my relay/relay" reload` + "\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no line %q in\n%s", want, text)
		}
	}
	unit.Description = "one\nUser=root"
	if text, err := unit.Text(); err == nil {
		t.Errorf("a description of two lines made\n%s", text)
	}
	unit.Description, unit.Config = "one", "/etc/relay\nUser=root"
	if text, err := unit.Text(); err == nil {
		t.Errorf("a path of two lines made\n%s", text)
	}
}

// systemd knows every setting of the units.
func TestVerify(t *testing.T) {
	analyze := analyzer(t)
	command, err := os.Executable() // which is there, as the command of the packages is not
	if err != nil {
		t.Fatal(err)
	}
	for _, unit := range systemd.Units() {
		unit.Command = command
		out, err := exec.Command(analyze, "verify", "--man=no", write(t, unit)).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", unit.Name, err, out)
		}
	}
}

// maxExposure is 2.0, in the unit of --threshold.
const maxExposure = "20"

func TestSecurity(t *testing.T) {
	analyze := analyzer(t)
	for _, unit := range systemd.Units() {
		out, err := exec.Command(analyze, "security", "--offline=true", "--no-pager", "--threshold="+maxExposure, write(t, unit)).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", unit.Name, err, out)
		}
	}
}

func analyzer(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed: apt-get install systemd")
	}
	return path
}

func write(t *testing.T, unit systemd.Unit) string {
	t.Helper()
	text, err := unit.Text()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), unit.FileName())
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
