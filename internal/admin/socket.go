package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"

	"github.com/seed96252745/relay/internal/api/client"
)

// ListenSocket listens at a unix socket to which only the owner of this process can
// connect. It makes the folder, for its owner alone, if there is none, and replaces the
// socket of a process that has ended without removing it. It replaces neither that of a
// process that runs nor another file. Closing the listener removes the socket.
func ListenSocket(path string) (Socket, error) {
	if most := maxSocketPath(); len(path) > most {
		return nil, fmt.Errorf("the path of the socket has %d bytes, and this system allows %d: give a shorter --stateDir: %s", len(path), most, path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case !isSocket(info):
		return nil, fmt.Errorf("%s is no socket, and is not replaced: remove it", path)
	case client.Live(path):
		return nil, fmt.Errorf("another process listens at %s: give each its own --stateDir", path)
	default:
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := listenPrivately(path)
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // it would remove whatever is there
	info, err := os.Lstat(path)
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	return &socket{UnixListener: l, path: path, info: info}, nil
}

// Socket is a listener at a unix socket.
type Socket interface {
	net.Listener
	// Move gives the socket another path. It must not be called while it is closed.
	Move(path string) error
}

// isSocket reports whether a file may be a socket. On Windows one looks like any file that
// is no plain one.
func isSocket(info fs.FileInfo) bool {
	return info.Mode()&fs.ModeSocket != 0 || runtime.GOOS == "windows" && !info.Mode().IsRegular() && !info.IsDir()
}

// maxSocketPath returns how many bytes the path of a socket may have: sun_path, without the
// zero byte at its end.
func maxSocketPath() int {
	if runtime.GOOS == "linux" || runtime.GOOS == "windows" {
		return 107
	}
	return 103 // macOS and the BSDs
}

// socket is a listener that removes its socket when it is closed.
type socket struct {
	*net.UnixListener
	path string
	info fs.FileInfo
}

// Move gives the socket another path, for another process to have this one.
func (s *socket) Move(path string) error {
	if err := os.Rename(s.path, path); err != nil {
		return err
	}
	s.path = path
	return nil
}

// Close stops listening, and removes the socket if it is still this one.
func (s *socket) Close() error {
	info, err := os.Lstat(s.path)
	ours := err == nil && os.SameFile(info, s.info)
	if err := s.UnixListener.Close(); err != nil {
		return err
	}
	if ours {
		return os.Remove(s.path)
	}
	return nil
}
