package conformance_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/conntest"
)

// reaper has the processes that others leave behind be children of the test, which waits for
// their ends.
var reaper = sync.OnceValue(func() error {
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
})

// dynasty is a relay, and the processes that take over from it, one after the other.
type dynasty struct {
	*testing.T
	dir, addr, program string
	first              *exec.Cmd
	heirs              []int         // the last one is the relay; none while that is first
	ended              map[int]bool  // by process ID
	log                logBuffer     // of all
	read               chan struct{} // closed when all have ended
}

// newDynasty starts a relay from a program of its own, which may be replaced.
func newDynasty(t *testing.T, flags ...string) *dynasty {
	t.Helper()
	must(t, reaper())
	built, err := command()
	must(t, err)
	d := &dynasty{T: t, dir: t.TempDir(), addr: net.JoinHostPort("127.0.0.1", conntest.FreePort(t)), ended: make(map[int]bool), read: make(chan struct{})}
	d.program = filepath.Join(d.dir, "relay")
	must(t, os.Link(built, d.program))
	_, port, _ := net.SplitHostPort(d.addr)
	ports := freeRange(t, 6)
	d.first = exec.Command(d.program, append(flags, port, "--bind=127.0.0.1", "--stateDir="+d.dir, fmt.Sprintf("--ports=%d-%d", ports.First, ports.Last))...)
	r, w, err := os.Pipe() // which heirs have, too, when the first has ended
	must(t, err)
	d.first.Stderr = w
	must(t, d.first.Start(), w.Close())
	go func() {
		defer close(d.read)
		defer r.Close()
		_, _ = io.Copy(&d.log, r)
	}()
	t.Cleanup(d.end)
	d.awaitLog("relay is ready")
	return d
}

// startAgain starts the relay as it was, when its last process has ended.
func (d *dynasty) startAgain() {
	d.Helper()
	again := exec.Command(d.first.Path, d.first.Args[1:]...)
	must(d.T, again.Start())
	d.heirs = append(d.heirs, again.Process.Pid)
}

// startForwarding runs a forwarder until stop is called.
func startForwarding(t *testing.T, addr, local string, options relay.Options, registered chan string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	options.Drain, options.OnRegister = -1, func(public net.Addr) { registered <- public.String() }
	go func() { done <- relay.Forward(ctx, addr, local, &options) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Forward: %v", err)
		}
	})
}

// end ends what is left.
func (d *dynasty) end() {
	for _, pid := range append(d.heirs, d.first.Process.Pid) {
		if !d.ended[pid] {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	d.wait(d.first.Process.Pid) // first: the others are no children of the test before
	for _, pid := range d.heirs {
		d.wait(pid)
	}
	<-d.read
	if d.Failed() {
		d.Log(d.log.String())
	}
}

// awaitLog waits for a line of the log.
func (d *dynasty) awaitLog(part string) { d.awaitLogTimes(part, 1) }

func (d *dynasty) awaitLogTimes(part string, n int) {
	d.Helper()
	for since := time.Now(); strings.Count(d.log.String(), part) < n; <-time.After(5 * time.Millisecond) {
		if time.Since(since) > patience {
			d.Fatalf("waited in vain for %q in the log:\n%s", part, d.log.String())
		}
	}
}

// pid returns the ID of the process that is the relay.
func (d *dynasty) pid() int {
	if len(d.heirs) == 0 {
		return d.first.Process.Pid
	}
	return d.heirs[len(d.heirs)-1]
}

// wait waits for the end of a process, and returns how it has ended: zero is well, or that its
// parent knows how.
func (d *dynasty) wait(pid int) (status unix.WaitStatus) {
	d.Helper()
	for since := time.Now(); !d.ended[pid]; <-time.After(5 * time.Millisecond) {
		got, err := unix.Wait4(pid, &status, unix.WNOHANG, nil)
		d.ended[pid] = got == pid || err == unix.ECHILD && syscall.Kill(pid, 0) == syscall.ESRCH
		if time.Since(since) > patience {
			d.Errorf("process %d has not ended: %v", pid, err)
			return status
		}
	}
	return status
}

// itIs is what relay upgrade prints.
var itIs = regexp.MustCompile(`is process (\d+) now, in place of process (\d+)\n`)

// upgrade has a new process take over.
func (d *dynasty) upgrade() (out string) {
	d.Helper()
	out, err := d.tryUpgrade()
	must(d.T, err)
	m := itIs.FindStringSubmatch(out)
	if m == nil || m[2] != strconv.Itoa(d.pid()) {
		d.Fatalf("process %d is asked, and relay upgrade prints %q", d.pid(), out)
	}
	pid, err := strconv.Atoi(m[1])
	must(d.T, err)
	d.heirs = append(d.heirs, pid)
	return out
}

// tryUpgrade runs relay upgrade. The error has what it prints to its standard error.
func (d *dynasty) tryUpgrade() (out string, err error) {
	d.Helper()
	path, err := command()
	must(d.T, err)
	printed, err := exec.Command(path, "upgrade", "--stateDir="+d.dir).Output()
	if failed, is := err.(*exec.ExitError); is {
		err = fmt.Errorf("%w: %s", err, failed.Stderr)
	}
	return string(printed), err
}

// replace puts a script in the place of the program.
func (d *dynasty) replace(script string, mode os.FileMode) {
	d.Helper()
	next := filepath.Join(d.dir, "next")
	must(d.T, os.WriteFile(next, []byte(script), 0o600), os.Chmod(next, mode), os.Rename(next, d.program))
}

// restore puts the right program in its place again.
func (d *dynasty) restore() {
	d.Helper()
	built, err := command()
	next := filepath.Join(d.dir, "next")
	must(d.T, err, os.Link(built, next), os.Rename(next, d.program))
}
