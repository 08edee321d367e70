//go:build !unix

package admin

import "net"

// listenPrivately listens at a path. Who may connect is in the access list that the socket
// has from its folder.
func listenPrivately(path string) (*net.UnixListener, error) {
	return net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
}
