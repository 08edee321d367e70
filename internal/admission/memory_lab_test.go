//go:build lab && linux

package admission_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/admission"
)

// groups mounts a hierarchy of control groups until the test has ended. Its folder is
// none of testing's, which would be emptied with whatever is mounted there.
func groups(t *testing.T, version, options string) (top string) {
	t.Helper()
	top, err := os.MkdirTemp("", "groups")
	check(t, err)
	t.Cleanup(func() { check(t, os.Remove(top)) })
	check(t, unix.Mount("none", top, version, 0, options))
	t.Cleanup(func() { check(t, unix.Unmount(top, 0)) })
	return top
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// groupWith moves this process into a control group that bounds its memory, until the
// test has ended.
func groupWith(t *testing.T, bytes int) {
	t.Helper()
	top, bound := groups(t, "cgroup2", ""), "memory.max"
	controllers, err := os.ReadFile(filepath.Join(top, "cgroup.controllers"))
	check(t, err)
	if strings.Contains(string(controllers), "memory") {
		check(t, os.WriteFile(filepath.Join(top, "cgroup.subtree_control"), []byte("+memory"), 0))
	} else {
		top, bound = groups(t, "cgroup", "memory"), "memory.limit_in_bytes"
	}
	group := filepath.Join(top, "relay-test-"+strconv.Itoa(os.Getpid()))
	check(t, os.Mkdir(group, 0o755))
	t.Cleanup(func() { check(t, os.Remove(group)) })
	check(t, os.WriteFile(filepath.Join(group, bound), []byte(strconv.Itoa(bytes)), 0))
	was := groupOf(t, top)
	move := func(to string) {
		check(t, os.WriteFile(filepath.Join(to, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0))
	}
	move(group)
	t.Cleanup(func() { move(was) })
}

// groupOf finds the group below top in which this process is.
func groupOf(t *testing.T, top string) (group string) {
	t.Helper()
	check(t, filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // a group that has ended meanwhile
		}
		processes, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if slices.Contains(strings.Fields(string(processes)), strconv.Itoa(os.Getpid())) {
			group = path
			return fs.SkipAll
		}
		return nil
	}))
	return group
}

// A process in a group that bounds its memory holds a quarter of that for others.
func TestMemoryOfGroup(t *testing.T) {
	const bytes = 256 << 20
	groupWith(t, bytes)
	if got := (admission.Limits{}).WithDefaults().Buffered; got != bytes/4 {
		t.Errorf("%d bytes may be held, want %d", got, bytes/4)
	}
}
