//go:build unix

package admin

import (
	"net"
	"os"
	"path/filepath"
)

// listenPrivately has the socket appear with its mode set: a socket can be connected to
// from the moment on that it is there, so it is made where nobody else can go.
func listenPrivately(path string) (*net.UnixListener, error) {
	folder, err := os.MkdirTemp(filepath.Dir(path), ".s") // shorter than the name of any socket
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }() // is empty by then
	private := filepath.Join(folder, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: private})
	if err != nil {
		return nil, err
	}
	if err = os.Chmod(private, 0o600); err == nil {
		err = os.Rename(private, path)
	}
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}
