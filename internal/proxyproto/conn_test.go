package proxyproto_test

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/proxyproto"
)

// patience bounds every wait. Each ends long before, unless the code is wrong.
const patience = 20 * time.Second

// behind returns a connection with a header's addresses.
func behind(t *testing.T) (near *proxyproto.Conn, far conn.Conn) {
	t.Helper()
	accepted, dialed := conntest.Pair(t)
	_ = dialed.SetDeadline(time.Now().Add(patience))
	user := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 56068}
	public := &net.TCPAddr{IP: net.IPv4(198, 51, 100, 2), Port: 443}
	return proxyproto.NewConn(accepted, user, public), dialed
}

func TestConn(t *testing.T) {
	near, far := behind(t)
	if near.RemoteAddr().String() != "192.0.2.1:56068" || near.LocalAddr().String() != "198.51.100.2:443" {
		t.Errorf("the addresses are %v and %v", near.RemoteAddr(), near.LocalAddr())
	}
	if _, err := near.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := near.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(far); string(got) != "hello" || err != nil {
		t.Errorf("the far end read %q, %v", got, err)
	}
	if err := near.Reset(); err != nil {
		t.Fatal(err)
	}
	// It has read the end already, so only a write can tell.
	for since := time.Now(); ; {
		_, err := far.Write([]byte("x"))
		if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
			return
		}
		if err != nil || time.Since(since) > patience {
			t.Fatalf("writing after a reset returns %v", err)
		}
	}
}

// A header is read from the socket to its last byte and no further.
func TestReadFromSocket(t *testing.T) {
	near, far := behind(t)
	header, err := proxyproto.Header(2, near.RemoteAddr(), near.LocalAddr())
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for _, b := range header { // in as many segments as there are bytes
			_, _ = far.Write([]byte{b})
		}
		_, _ = far.Write([]byte(payload))
		_ = far.CloseWrite()
	}()
	_ = near.SetReadDeadline(time.Now().Add(patience))
	user, public, err := proxyproto.Read(near)
	if err != nil || user.String() != near.RemoteAddr().String() || public.String() != near.LocalAddr().String() {
		t.Fatalf("got %v, %v, %v", user, public, err)
	}
	if rest, err := io.ReadAll(near); string(rest) != payload || err != nil {
		t.Errorf("then %q came, %v", rest, err)
	}
}
