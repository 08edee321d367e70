package pool_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol/pool"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
)

// shortRelayClient has a pool of two at a relay whose end of the first connection is
// the test's, and is short of something whenever it wants another.
func shortRelayClient(t *testing.T) (registration *protocoltest.Registration, first *conntest.MemoryConn) {
	t.Helper()
	near, far := conntest.Memory()
	var dials atomic.Int32
	dial := func(context.Context) (conn.Conn, error) {
		if dials.Add(1) == 1 {
			return near, nil
		}
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)}
	}
	go func() {
		_, _ = io.ReadFull(far, make([]byte, len("pool\nnew\n")))
		_, _ = io.WriteString(far, "20001\nTHEPOOL\n")
	}()
	registration, err := protocoltest.Register(t.Context(), pool.Client{Size: 2}, dial)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := registration.Accept()
	if err != nil {
		t.Fatal(err)
	}
	go func() { // waits for its user
		_, _ = conn.Read(make([]byte, 1))
		_ = conn.Reset()
	}()
	return registration, far
}

// Being short of something is no reason to register anew, as long as a connection
// waits, and for a while without one. But the name of the relay may have an address by
// then for which this machine has one too.
func TestClientIsShortOfSomething(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registration, first := shortRelayClient(t)
		pass(time.Hour)
		if isOver(registration) {
			t.Fatal("the pool is given up, though a connection waits")
		}
		_ = first.Close()
		pass(9 * time.Second)
		if isOver(registration) {
			t.Fatal("the pool is given up after 9 s without a connection")
		}
		pass(5 * time.Second)
		if !isOver(registration) {
			_ = registration.Close()
			t.Fatal("the pool is not given up in 14 s without a connection")
		}
		if _, err := registration.Accept(); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("it is given up for %v", err)
		}
	})
}

func isOver(r *protocoltest.Registration) bool {
	synctest.Wait()
	select {
	case <-r.Ended():
		return true
	default:
		return false
	}
}
