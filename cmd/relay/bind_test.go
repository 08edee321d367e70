package main_test

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	relay "github.com/seed96252745/relay/cmd/relay"
)

// The error says what to do on every system. Winsock has numbers of its own, and refuses
// ports that the system reserves with the error of POSIX for ports that need privileges.
func TestExplainListen(t *testing.T) {
	for _, tt := range []struct {
		err  syscall.Errno
		port int
		says string
	}{
		{syscall.EADDRINUSE, 8080, "port 8080 is in use already: stop the program"},
		{10048, 8080, "port 8080 is in use already: stop the program"}, // WSAEADDRINUSE
		{syscall.EACCES, 80, "port 80 needs privileges"},
		{10013, 8080, "port 8080 is reserved by the system"}, // WSAEACCES
		{10013, 8080, "excludedportrange"},
		{syscall.EADDRNOTAVAIL, 8080, "--bind: this machine does not have that address"},
		{10049, 8080, "--bind: this machine does not have that address"}, // WSAEADDRNOTAVAIL
	} {
		err := &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", tt.err)}
		if got := relay.ExplainListen(err, "192.0.2.1", tt.port).Error(); !strings.Contains(got, tt.says) {
			t.Errorf("%v: %q, want %q", err, got, tt.says)
		}
	}
}
