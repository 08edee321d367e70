package conformance_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A new program that leaves a process behind, or is one that starts another, does not hold up
// the relay: that process has the link to it for as long as it lives.
func TestUpgradeLeavesAChild(t *testing.T) {
	const leaves = "#!/bin/sh\nsleep 1000 &\necho $! >${0%/*}/child.part && mv ${0%/*}/child.part ${0%/*}/child\n"
	t.Run("and ends", func(t *testing.T) {
		t.Parallel()
		d := newDynasty(t)
		d.replace(leaves+"exit 7\n", 0o700)
		d.wantFails("exit status 7")
		must(t, syscall.Kill(d.child(), syscall.SIGKILL))
	})
	t.Run("and hangs when the relay is told to end", func(t *testing.T) {
		t.Parallel()
		d := newDynasty(t)
		d.replace(leaves+"wait\n", 0o700)
		failed := make(chan error, 1)
		go func() {
			_, err := d.tryUpgrade()
			failed <- err
		}()
		d.awaitLog("a new process takes over")
		child := d.child()
		must(t, syscall.Kill(d.pid(), syscall.SIGTERM))
		if status := d.wait(d.pid()); status != 0 {
			t.Errorf("the relay has ended with %v", status)
		}
		if err := <-failed; err == nil {
			t.Error("the upgrade has not failed")
		}
		must(t, syscall.Kill(child, syscall.SIGKILL))
	})
}

// child returns the ID of the process that a script has left.
func (d *dynasty) child() (pid int) {
	d.Helper()
	for since := time.Now(); ; <-time.After(5 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(d.dir, "child"))
		if pid, wrong := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && wrong == nil {
			return pid
		}
		if time.Since(since) > patience {
			d.Fatalf("the script has left no process: %q, %v", text, err)
		}
	}
}
