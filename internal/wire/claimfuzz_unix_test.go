//go:build unix

package wire_test

import (
	"bytes"
	"errors"
	"net"
	"reflect"
	"syscall"
	"testing"

	"github.com/seed96252745/relay/internal/wire"
)

// socket is one of a pair that the runtime's poller does not know. It has only the
// method of a connection that TryReadClaim needs.
type socket struct {
	net.Conn
	fd int
}

func (s socket) Control(f func(fd uintptr)) error {
	f(uintptr(s.fd))
	return nil
}

// TryReadClaim returns the same as ReadRequest, or nothing; then it has consumed
// nothing.
func FuzzTryReadClaim(f *testing.F) {
	for _, seed := range requests {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, in []byte, ends bool) {
		if len(in) > 8192 {
			return // more than the socket holds
		}
		fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		check(t, err)
		for _, fd := range fds {
			defer func() { check(t, syscall.Close(fd)) }()
			check(t, syscall.SetNonblock(fd, true))
		}
		if _, err := syscall.Write(fds[1], in); len(in) > 0 && err != nil {
			t.Fatal(err)
		}
		if ends {
			check(t, syscall.Shutdown(fds[1], syscall.SHUT_WR))
		}
		req, ok := wire.TryReadClaim(socket{fd: fds[0]}, verbs)
		want, size, isRequest := understand(string(in))
		// Requests longer than a verb and an id are left to ReadRequest.
		quick := isRequest && want.IsClaim() && size <= 64+128
		if ok != quick || ok && !reflect.DeepEqual(req, want) {
			t.Fatalf("%q: got %+v, %v; want %+v, %v", in, req, ok, want, quick)
		}
		if !ok {
			size = 0
		}
		rest := make([]byte, len(in)+1)
		n, err := syscall.Read(fds[0], rest)
		if err != nil && !errors.Is(err, syscall.EAGAIN) {
			t.Fatal(err)
		}
		if got := rest[:max(n, 0)]; !bytes.Equal(got, in[size:]) {
			t.Fatalf("%q: %q is left, want %q", in, got, in[size:])
		}
	})
}
