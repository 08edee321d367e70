package netlab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// keptLines bounds how many lines of a process's output are kept. A test looks at a
// line before so many more have come.
const keptLines = 20_000

// Process is a program that runs on a host. It ends with this process, however that
// ends. Its methods may be called concurrently.
type Process struct {
	cmd    *exec.Cmd
	exited chan struct{}

	mu    sync.Mutex // guards what follows
	lines []string   // of stdout and stderr, the newest keptLines
	first int        // the number of the first of them
	more  chan struct{}
}

// Start starts a program on the host. The caller ends it with Kill, which may be called
// after its end.
func (h *Host) Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, exited: make(chan struct{}), more: make(chan struct{})}
	ours, theirs, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	cmd.Stdout, cmd.Stderr = theirs, theirs
	// A group of its own, or Ctrl-C would end it before the test does.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	err = h.Enter(cmd.Start)
	_ = theirs.Close()
	if err != nil {
		_ = ours.Close()
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	go func() {
		p.read(ours)
		_ = cmd.Wait() // how it ended is in ProcessState
		close(p.exited)
	}()
	return p, nil
}

// read keeps lines until the process has ended.
func (p *Process) read(from io.ReadCloser) {
	defer func() { _ = from.Close() }()
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20) // a stack trace in a line of JSON
	for lines.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, lines.Text())
		if len(p.lines) > keptLines {
			p.first += len(p.lines) / 2
			p.lines = append([]string(nil), p.lines[len(p.lines)/2:]...)
		}
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
	}
}

func (p *Process) String() string {
	return fmt.Sprintf("%s (%d)", filepath.Base(p.cmd.Path), p.cmd.Process.Pid)
}

// Lines returns how many lines it has printed.
func (p *Process) Lines() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.first + len(p.lines)
}

// Output returns what it has printed: the last lines, if there are more than are kept.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// Said looks for a line that has all the parts, from line number since on.
func (p *Process) Said(since int, parts ...string) (line string, found bool) {
	line, _, more := p.find(since, parts)
	return line, more == nil
}

// Last looks for the last line that has all the parts, from line number since on.
func (p *Process) Last(since int, parts ...string) (line string, found bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, line := range slices.Backward(p.lines) {
		if p.first+i >= since && containsAll(line, parts) {
			return line, true
		}
	}
	return "", false
}

// Line waits for a line that has all the parts, from line number since on.
func (p *Process) Line(ctx context.Context, since int, parts ...string) (string, error) {
	for {
		line, next, more := p.find(since, parts)
		if more == nil {
			return line, nil
		}
		since = next
		select {
		case <-more:
		case <-p.exited:
			if line, _, more := p.find(since, parts); more == nil {
				return line, nil
			}
			return "", fmt.Errorf("%s ended (%v) and never said %q; it said\n%s", p, p.cmd.ProcessState, parts, p.Output())
		case <-ctx.Done():
			return "", fmt.Errorf("%s did not say %q: %w; it said\n%s", p, parts, context.Cause(ctx), p.Output())
		}
	}
}

// find looks for a line. If there is none, more is closed when the next one comes.
func (p *Process) find(since int, parts []string) (line string, next int, more <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.lines[min(max(since-p.first, 0), len(p.lines)):] {
		if containsAll(line, parts) {
			return line, 0, nil
		}
	}
	return "", p.first + len(p.lines), p.more
}

func containsAll(line string, parts []string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) })
}

// Signal sends it a signal.
func (p *Process) Signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("signaling %s: %w", p, err)
	}
	return nil
}

// Freeze stops it wherever it is. Its kernel goes on: it receives as long as it has
// buffers, and answers probes.
func (p *Process) Freeze() error { return p.Signal(syscall.SIGSTOP) }

// Thaw lets it go on.
func (p *Process) Thaw() error { return p.Signal(syscall.SIGCONT) }

// Kill ends it, if it has not ended yet, and waits for its end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.exited
}

// Wait waits for its end, and returns an error unless it has exited with status 0.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.exited:
	case <-ctx.Done():
		return fmt.Errorf("waiting for the end of %s: %w", p, context.Cause(ctx))
	}
	if !p.cmd.ProcessState.Success() {
		return fmt.Errorf("%s: %s: %s", p, p.cmd.ProcessState, p.Output())
	}
	return nil
}

// LimitDescriptors limits how many descriptors it may have.
func (p *Process) LimitDescriptors(n int) error {
	limit := unix.Rlimit{Cur: uint64(n), Max: uint64(n)}
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		return fmt.Errorf("limiting %s: %w", p, err)
	}
	return nil
}

// Descriptors returns how many descriptors it has open.
func (p *Process) Descriptors() (int, error) {
	fds, err := os.ReadDir(p.proc("fd"))
	if err != nil {
		return 0, fmt.Errorf("descriptors of %s: %w", p, err)
	}
	return len(fds), nil
}

// Memory returns how many bytes of it are resident.
func (p *Process) Memory() (int64, error) {
	status, err := os.ReadFile(p.proc("status"))
	if err != nil {
		return 0, fmt.Errorf("memory of %s: %w", p, err)
	}
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return 0, errors.New(p.String() + " is ending")
	}
	kib, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("memory of %s: %w", p, err)
	}
	return kib << 10, nil
}

func (p *Process) proc(file string) string {
	return filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), file)
}
