package event_test

import (
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
	"github.com/seed96252745/relay/internal/transport"
)

// An id is announced whole, and before all later ones, where the control connection takes
// only a part of it at once.
func TestIDIsWrittenInParts(t *testing.T) {
	const part = 13 // of 27 bytes
	most, _ := fill(t, 1<<20)
	size, e := fill(t, most-part)
	opened := make(chan conn.Conn, 2)
	for range 2 {
		if _, err := e.tunnel.(protocol.Starter).Start(func(c conn.Conn) { opened <- c }); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.control.(*transport.Conn).TCP().SetReadBuffer(1 << 20); err != nil { // or reading takes long
		t.Fatal(err)
	}
	conntest.WantRead(t, e.lines, strings.Repeat("x", size))
	for range 2 {
		client, err := e.claim(e.line())
		if err != nil {
			t.Fatal(err)
		}
		user := <-opened
		conntest.WantPair(t, user, client)
		_ = user.Close()
	}
}

// fill makes a tunnel, writes up to so many bytes on its control connection, of which the
// relay client has read none, and returns how many have been taken. With the smallest
// buffers that there are, the kernel takes the same number again; if it did not, the id
// would come whole as well.
func fill(t *testing.T, most int) (size int, e *relayEnd) {
	t.Helper()
	near, far := protocoltest.Pair(t)
	if err := near.TCP().SetWriteBuffer(1); err != nil {
		t.Fatal(err)
	}
	if err := far.TCP().SetReadBuffer(1); err != nil {
		t.Fatal(err)
	}
	e = register(t, near, far)
	for size < most {
		n := conn.WriteNow(near, []byte(strings.Repeat("x", min(1<<10, most-size))))
		if n == 0 {
			break
		}
		size += n
	}
	return size, e
}
