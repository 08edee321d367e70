package client

import (
	"cmp"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/sockerr"
)

// findWait is how long a connection to a socket may take. The kernel makes it, so a process
// that is busy, or stopped, is found too.
const findWait = time.Second

// Socket is the socket of a process that runs.
type Socket struct {
	Path   string
	Kind   string // api.Relay or api.Forwarder
	Number int    // the control port of a relay, or the process ID of a forwarder
	Former int    // the ID of a process from which another one has taken over, or 0
}

// Find returns the sockets of all processes that run with this state directory: relays by
// port, and then forwarders by process ID; behind each relay those from which it has taken over.
// A folder that does not exist has none.
func Find(stateDir string) ([]Socket, error) {
	entries, err := os.ReadDir(stateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var sockets []Socket
	for _, entry := range entries {
		s, ok := ParseName(entry.Name())
		s.Path = filepath.Join(stateDir, entry.Name())
		if ok && Live(s.Path) {
			sockets = append(sockets, s)
		}
	}
	slices.SortFunc(sockets, func(a, b Socket) int {
		return cmp.Or(-cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Number, b.Number), cmp.Compare(a.Former, b.Former))
	})
	return sockets, nil
}

// ParseName returns what the name of a socket says, and reports whether it is one.
func ParseName(name string) (s Socket, ok bool) {
	if s.Kind, s.Number, s.Former, ok = api.ParseFormerSocketName(name); !ok {
		s.Kind, s.Number, ok = api.ParseSocketName(name)
	}
	return s, ok
}

// Live reports whether a process listens on a socket. Only a socket that refuses
// connections is a dead one's: that of another user, or of a process that is busy, is live.
func Live(path string) bool {
	conn, err := net.DialTimeout("unix", path, findWait)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist) && !sockerr.Is(err, syscall.ECONNREFUSED)
	}
	_ = conn.Close()
	return true
}
