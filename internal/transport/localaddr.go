package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/sockerr"
)

// LocalAddr is where a local server is: a host and a port, or a Unix socket. The zero value
// is no address.
type LocalAddr struct {
	text string
	unix string // path of a socket, or @ and its name; "" for a host and a port
}

// maxUnixPath is how long the path of a Unix socket can be on this system, in bytes: a zero
// follows it.
const maxUnixPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// ParseLocalAddr parses "host:port", "unix:/path" or, on Linux, "unix:@name" for an abstract
// socket. A path that is not absolute is relative to the working directory of the process.
func ParseLocalAddr(text string) (LocalAddr, error) {
	name, isUnix := strings.CutPrefix(text, "unix:")
	if !isUnix {
		_, number, err := net.SplitHostPort(text)
		if err == nil {
			_, err = port.Parse(number)
		}
		return LocalAddr{text: text}, err
	}
	var err error
	switch {
	case name == "" || name == "@":
		err = errors.New("after unix: there is the path of a socket, or @ and its name")
	case name[0] == '@' && runtime.GOOS != "linux":
		err = errors.New("only Linux has sockets with names: give a path")
	case len(name) > maxUnixPath:
		err = fmt.Errorf("the path of a socket has %d bytes at most, and this one has %d", maxUnixPath, len(name))
	case strings.ContainsRune(name, 0):
		err = errors.New("the path of a socket has no zero in it")
	}
	return LocalAddr{text: text, unix: name}, err
}

// String returns the address as it was given.
func (a LocalAddr) String() string { return a.text }

// IsUnix reports whether it is a Unix socket.
func (a LocalAddr) IsUnix() bool { return a.unix != "" }

// HTTPHost returns what a request over HTTP calls the server: its address, or localhost for
// one behind a Unix socket.
func (a LocalAddr) HTTPHost() string {
	if a.unix != "" {
		return "localhost"
	}
	return a.text
}

// Start begins to connect. If that takes waiting conn is nil, and the caller has to call
// wait, which goes on from there and takes up to 10 seconds. Wait alone closes the sockets
// that connect: at once if its context is done. On Linux prepared is called with the
// descriptor of each TCP socket before it connects, unless a name has to be resolved. It may
// be nil.
//
// The connection to a Unix socket is like any other, but has no reset: its Reset closes it,
// and the server sees an end, unless it has sent something that was not read.
func (a LocalAddr) Start(prepared func(fd int)) (conn conn.Conn, wait func(context.Context) (conn.Conn, error)) {
	if a.unix != "" {
		return startUnix(a.unix)
	}
	return start(a.text, prepared)
}

// Dial is Start and the wait.
func (a LocalAddr) Dial(ctx context.Context) (conn.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	conn, wait := a.Start(nil)
	if conn != nil {
		return conn, nil
	}
	return wait(ctx)
}

// Advice returns what to do about an error of connecting, or "" if that is not known.
func (a LocalAddr) Advice(err error) string {
	switch refused := sockerr.Is(err, syscall.ECONNREFUSED); {
	case a.unix == "" && refused:
		return "check that the local server runs, and that this is its port"
	case a.unix == "":
		return ""
	case errors.Is(err, os.ErrNotExist):
		return "check that the local server runs, and that this is the path of its socket"
	case errors.Is(err, os.ErrPermission):
		return fmt.Sprintf("this process runs as the user with the number %d: let that one write to the socket, and pass the folders above it", os.Geteuid())
	case sockerr.Is(err, syscall.EPROTOTYPE):
		return "it is a socket for datagrams; a local server needs one for streams"
	case refused && a.isNoSocket():
		return "it is not a socket"
	case refused:
		return "check that the local server runs, and that this is its socket: nobody listens there"
	}
	return ""
}

// isNoSocket reports whether something else than a socket is at the path.
func (a LocalAddr) isNoSocket() bool {
	info, err := os.Stat(a.unix)
	return err == nil && info.Mode()&os.ModeSocket == 0
}
