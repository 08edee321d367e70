package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	tunPath = "/dev/net/tun"
	// namespaces is the folder in which ip keeps network namespaces.
	namespaces = "/run/netns"
)

// Missing returns the reason why there can be no hosts here, or "".
func Missing(programs ...string) string {
	if os.Getuid() != 0 {
		return "only root can make network namespaces: run it with sudo"
	}
	if _, err := os.Stat(tunPath); err != nil {
		return "this kernel has no TUN devices"
	}
	for _, program := range append([]string{"ip"}, programs...) {
		if _, err := exec.LookPath(program); err != nil {
			return program + " is not installed: apt-get install " + Packages
		}
	}
	return ""
}

// congestionControl is one that every kernel allows in every namespace. Figures must not
// depend on the machine's own choice: BBR hides loss, and takes a receiver that pauses
// for a slow path. It was seen to go on at 3 kbit/s.
const congestionControl = "reno"

// Host is a network namespace: a machine as far as the network goes.
// Its methods may be called concurrently.
type Host struct{ name string }

// NewHost makes a host with no device but its loopback. The caller closes the host.
func NewHost(ctx context.Context, name string) (*Host, error) {
	if err := run(exec.CommandContext(ctx, "ip", "netns", "add", name)); err != nil {
		return nil, err
	}
	h := &Host{name}
	err := h.IP(ctx, "link", "set", "lo", "up")
	if err == nil {
		err = h.Set("net/ipv4/tcp_congestion_control", congestionControl)
	}
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// Close removes the host. Its devices go when the last process on it has ended.
func (h *Host) Close() error {
	return run(exec.Command("ip", "netns", "delete", h.name))
}

// IP runs ip on the host.
func (h *Host) IP(ctx context.Context, args ...string) error {
	return run(exec.CommandContext(ctx, "ip", append([]string{"-n", h.name}, args...)...))
}

// Run runs a program on the host and waits for its end.
func (h *Host) Run(ctx context.Context, program string, args ...string) error {
	return h.Enter(func() error { return run(exec.CommandContext(ctx, program, args...)) })
}

// Sockets returns what the host's kernel knows of its TCP connections, a line for
// each: buffers, timers and losses.
func (h *Host) Sockets(ctx context.Context) (lines string, err error) {
	err = h.Enter(func() error {
		out, err := exec.CommandContext(ctx, "ss", "-tinOHm").CombinedOutput()
		lines = string(out)
		if err != nil {
			return fmt.Errorf("sockets of %s: %w", h.name, err)
		}
		return nil
	})
	return lines, err
}

// Set changes a setting of the host's kernel: a path below /proc/sys.
func (h *Host) Set(path, value string) error {
	return h.Enter(func() error {
		err := os.WriteFile(filepath.Join("/proc/sys", path), []byte(value), 0o644) //nolint:gosec // it is there, with the mode it has
		if err != nil {
			return fmt.Errorf("a setting of %s: %w", h.name, err)
		}
		return nil
	})
}

// Dial connects from the host to a TCP address, which has to be numeric.
func (h *Host) Dial(ctx context.Context, addr string) (*net.TCPConn, error) {
	var conn net.Conn
	err := h.Enter(func() (err error) {
		// With one address this goroutine dials, so the socket is of its thread's
		// namespace.
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", addr)
		return err
	})
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// Enter runs f with its thread in the host's namespace. Sockets and processes that f
// makes, in no other goroutine, are of that namespace and stay so.
func (h *Host) Enter(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// A thread that cannot return ends with this goroutine, still locked.
		runtime.LockOSThread()
		back, err := enter(filepath.Join(namespaces, h.name))
		if err != nil {
			done <- err
			return
		}
		err = f()
		if berr := back(); berr != nil {
			done <- errors.Join(err, berr)
			return
		}
		runtime.UnlockOSThread()
		done <- err
	}()
	return <-done
}

// enter moves the thread to a namespace, and returns a function that moves it back.
func enter(path string) (back func() error, err error) {
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("opening the own namespace: %w", err)
	}
	away, err := os.Open(path)
	if err != nil {
		_ = home.Close()
		return nil, fmt.Errorf("opening a namespace: %w", err)
	}
	err = unix.Setns(int(away.Fd()), unix.CLONE_NEWNET)
	_ = away.Close()
	if err != nil {
		_ = home.Close()
		return nil, fmt.Errorf("entering %s: %w", path, err)
	}
	return func() error {
		defer func() { _ = home.Close() }()
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("going back to the own namespace: %w", err)
		}
		return nil
	}, nil
}

func run(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}
