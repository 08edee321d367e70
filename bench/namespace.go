//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	nearHost = "192.0.2.1"
	farHost  = "192.0.2.2"
	device   = "wire0"
	tunPath  = "/dev/net/tun"
)

// noWire says why there can be no wire here, if so. The kernel's own delay,
// netem, is in fewer kernels than TUN is.
func noWire() string {
	if os.Getuid() != 0 {
		return "only root can make network namespaces"
	}
	if _, err := os.Stat(tunPath); err != nil {
		return "this kernel has no TUN devices"
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return "ip is not installed: apt-get install iproute2"
	}
	return ""
}

// network is two namespaces with a wire between them.
type network struct {
	near, far place
	wire      *wire
}

func newNetwork(ctx context.Context) (n *network, err error) {
	prefix := "relay-bench-" + strconv.Itoa(os.Getpid())
	n = &network{near: place{nearHost, prefix + "-near"}, far: place{farHost, prefix + "-far"}}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	var ends []*os.File
	for _, side := range []struct{ at, other place }{{n.near, n.far}, {n.far, n.near}} {
		end, err := newEnd(ctx, side.at, side.other)
		if end != nil {
			ends = append(ends, end)
		}
		if err != nil {
			for _, end := range ends {
				_ = end.Close()
			}
			return n, err
		}
	}
	n.wire = newWire(ends[0], ends[1])
	return n, nil
}

// close takes everything down. It does not mind what is not there.
func (n *network) close() error {
	var errs []error
	if n.wire != nil {
		errs = append(errs, n.wire.close())
	}
	for _, side := range []place{n.near, n.far} {
		if _, err := os.Stat(namespacePath(side)); err == nil {
			errs = append(errs, ip(context.Background(), "netns", "delete", side.namespace))
		}
	}
	return errors.Join(errs...)
}

func namespacePath(p place) string { return "/run/netns/" + p.namespace }

// newEnd makes a namespace, and in it a device towards the other one.
func newEnd(ctx context.Context, at, other place) (*os.File, error) {
	if err := ip(ctx, "netns", "add", at.namespace); err != nil {
		return nil, err
	}
	end, err := openTUN(at)
	if err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"addr", "add", at.host, "peer", other.host, "dev", device},
		{"link", "set", device, "mtu", strconv.Itoa(wireMTU), "txqueuelen", "10000", "up"},
	} {
		if err := ip(ctx, append([]string{"-n", at.namespace}, args...)...); err != nil {
			return end, err
		}
	}
	return end, nil
}

func ip(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %v: %w: %s", args, err, out)
	}
	return nil
}

// openTUN makes a TUN device in a namespace. The descriptor stays of that
// namespace wherever it is used.
func openTUN(at place) (end *os.File, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		home, herr := os.Open("/proc/thread-self/ns/net")
		if herr != nil {
			err = fmt.Errorf("opening the own namespace: %w", herr)
			return
		}
		defer func() { _ = home.Close() }()
		end, err = openThere(at)
		if berr := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); berr != nil {
			// Still locked, the thread ends with this goroutine.
			err = errors.Join(err, fmt.Errorf("going back to the own namespace: %w", berr))
			return
		}
		runtime.UnlockOSThread()
	}()
	<-done
	return end, err
}

// openThere leaves the thread in the namespace.
func openThere(at place) (*os.File, error) {
	namespace, err := os.Open(namespacePath(at))
	if err != nil {
		return nil, fmt.Errorf("opening a namespace: %w", err)
	}
	defer func() { _ = namespace.Close() }()
	if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("entering a namespace: %w", err)
	}
	fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", tunPath, err)
	}
	request, err := unix.NewIfreq(device)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("making a device: %w", err)
	}
	// It is not blocking, so that closing it ends a read.
	return os.NewFile(uintptr(fd), tunPath), nil
}
