package splice_test

import (
	"io"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/splice"
)

// Read distinguishes bytes, their absence at the moment, and the end.
func TestRead(t *testing.T) {
	near, far := pair(t, 0)
	b := make([]byte, 10)
	if n, err := splice.Read(near, b); n != 0 || err != unix.EAGAIN {
		t.Errorf("of nothing Read returns %d, %v", n, err)
	}
	write(t, far, []byte("hello"))
	awaitBytes(t, near, 5)
	if n, err := splice.Read(near, b); err != nil || string(b[:n]) != "hello" {
		t.Errorf("got %q, %v", b[:n], err)
	}
	closeWrite(t, far)
	await(t, near, unix.POLLRDHUP)
	for range 2 {
		if n, err := splice.Read(near, b); n != 0 || err != io.EOF {
			t.Errorf("at the end Read returns %d, %v", n, err)
		}
	}
}
