package sockerr_test

import (
	"syscall"
	"testing"

	"golang.org/x/sys/windows"

	"github.com/seed96252745/relay/internal/sockerr"
)

// The numbers are those of the system's headers.
func TestNumbers(t *testing.T) {
	for number, name := range map[syscall.Errno]syscall.Errno{
		windows.WSAEACCES:        syscall.EACCES,
		windows.WSAEMFILE:        syscall.EMFILE,
		windows.WSAEADDRINUSE:    syscall.EADDRINUSE,
		windows.WSAEADDRNOTAVAIL: syscall.EADDRNOTAVAIL,
		windows.WSAENETUNREACH:   syscall.ENETUNREACH,
		windows.WSAECONNABORTED:  syscall.ECONNABORTED,
		windows.WSAECONNRESET:    syscall.ECONNRESET,
		windows.WSAENOBUFS:       syscall.ENOBUFS,
		windows.WSAENOTCONN:      syscall.ENOTCONN,
		windows.WSAESHUTDOWN:     syscall.ESHUTDOWN,
		windows.WSAETIMEDOUT:     syscall.ETIMEDOUT,
		windows.WSAECONNREFUSED:  syscall.ECONNREFUSED,
		windows.WSAEHOSTUNREACH:  syscall.EHOSTUNREACH,
	} {
		if !sockerr.Is(number, name) {
			t.Errorf("%d is not taken for %v", number, name)
		}
	}
}
