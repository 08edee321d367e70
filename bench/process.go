//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// startPatience is how long a program may take to say that it has started.
const startPatience = 15 * time.Second

// place is where programs run: an address, and the network namespace that has
// it, if not the program's own.
type place struct{ host, namespace string }

// command prepares a program. It has nothing from the environment but where programs
// are, and dies with this one.
func (p place) command(path string, args ...string) *exec.Cmd {
	if p.namespace != "" {
		path, args = "ip", append([]string{"netns", "exec", p.namespace, path}, args...)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin", "LC_ALL=C"}
	// A group of its own, or Ctrl-C would end it in the midst of a measurement.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	return cmd
}

// process is a program that runs in the background.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *os.File
	lines  chan string // of stdout
	errors tail
	exited chan struct{}
}

// start starts a program. The caller ends it with kill.
func start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, lines: make(chan string, 100), exited: make(chan struct{})}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	p.stdin = stdin
	var stdout *os.File
	if p.stdout, stdout, err = os.Pipe(); err != nil {
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	cmd.Stdout, cmd.Stderr = stdout, &p.errors
	cmd.WaitDelay = time.Second // a child of it may have the other end still
	err = cmd.Start()
	_ = stdout.Close()
	if err != nil {
		_ = p.stdout.Close()
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	go func() {
		_ = cmd.Wait()
		close(p.exited)
	}()
	go func() {
		defer close(p.lines)
		for lines := bufio.NewScanner(p.stdout); lines.Scan(); {
			select {
			case p.lines <- lines.Text():
			default: // nobody reads so many
			}
		}
	}()
	return p, nil
}

func (p *process) String() string { return filepath.Base(p.cmd.Path) }

// line waits for the next line of stdout.
func (p *process) line(ctx context.Context, patience time.Duration) (string, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case line, ok := <-p.lines:
		if !ok {
			return "", fmt.Errorf("%s ended: %s", p, p.errors.String())
		}
		return line, nil
	case <-timer.C:
		return "", fmt.Errorf("%s said nothing for %s: %s", p, patience, p.errors.String())
	case <-ctx.Done():
		return "", fmt.Errorf("waiting for %s: %w", p, context.Cause(ctx))
	}
}

// kill ends the program and all its children, and waits for its end.
func (p *process) kill() {
	table, err := readProcesses()
	if err != nil {
		table = nil // at least the program itself is killed
	}
	for _, pid := range table.tree(p.cmd.Process.Pid) {
		if pid != p.cmd.Process.Pid {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
		}
	}
	_ = p.cmd.Process.Kill()
	<-p.exited
	_ = p.stdin.Close()
	_ = p.stdout.Close()
}

// tail keeps the last of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 2000

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	t.text = t.text[max(0, len(t.text)-tailSize):]
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}

// ports hands out ports that are free. They are below the ephemeral ports of Linux, so
// that no outgoing connection takes one before its program does, and above those that
// relays open.
type ports struct {
	mu   sync.Mutex
	next int
}

const (
	firstPort = 30000
	portCount = 2700
)

func newPorts() *ports { return &ports{next: 16 * os.Getpid()} }

func (p *ports) free() (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range portCount {
		p.next++
		port := strconv.Itoa(firstPort + p.next%portCount)
		if l, err := net.Listen("tcp", ":"+port); err == nil {
			_ = l.Close()
			return port, nil
		}
	}
	return "", errors.New("no port is free")
}
