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
}

// Find returns the sockets of all processes that run with this state directory: relays by
// port, and then forwarders by process ID. A folder that does not exist has none.
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
		kind, number, ok := api.ParseSocketName(entry.Name())
		path := filepath.Join(stateDir, entry.Name())
		if ok && Live(path) {
			sockets = append(sockets, Socket{Path: path, Kind: kind, Number: number})
		}
	}
	slices.SortFunc(sockets, func(a, b Socket) int {
		return cmp.Or(-cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Number, b.Number))
	})
	return sockets, nil
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
