//go:build lab && linux

package lab_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "relay-lab-")
	if err != nil {
		panic(err)
	}
	programs = dir
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		_ = os.RemoveAll(dir)
		os.Exit(status)
	}))
}

// programs is where build puts them. It is set before any test.
var programs string

var build = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "build", "-o", programs, "../../cmd/relay", "../checker/player").CombinedOutput()
	return string(out), err
})

// binary is the path of relay or player, as they are in this tree.
func binary(t *testing.T, name string) string {
	t.Helper()
	if out, err := build(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	return filepath.Join(programs, name)
}
