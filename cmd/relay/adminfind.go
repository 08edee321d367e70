package main

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/sockerr"
)

// reachWait is how long a connection to a socket may take, which the kernel makes.
const reachWait = time.Second

// reachable returns why nobody can connect to a socket.
func reachable(socket string) error {
	conn, err := net.DialTimeout("unix", socket, reachWait)
	if err != nil {
		return explainSocket(err, socket)
	}
	return conn.Close()
}

// closedToUs returns a socket of a process in dir that this user may not connect to, or "".
func closedToUs(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	for _, entry := range entries {
		if _, _, ok := api.ParseSocketName(entry.Name()); !ok {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		conn, err := net.DialTimeout("unix", path, reachWait)
		if err == nil {
			_ = conn.Close()
		} else if errors.Is(err, fs.ErrPermission) {
			return path
		}
	}
	return ""
}

// asOwner returns what to type to have access to a path. Where its folder cannot be
// entered, the owner is that of the folder.
func asOwner(path string) string {
	for dir := path; ; dir = filepath.Dir(dir) {
		if owner := ownerName(dir); owner != "" {
			return "run this as its owner:   sudo -u " + owner + " relay ..."
		}
		if dir == filepath.Dir(dir) {
			return "run this as its owner"
		}
	}
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

func refusedConnection(err error) bool { return sockerr.Is(err, syscall.ECONNREFUSED) }

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// quoteArg returns an argument as a shell takes it.
func quoteArg(arg string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@%+=,", r)
	}
	if arg != "" && strings.IndexFunc(arg, func(r rune) bool { return !plain(r) }) < 0 {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}
