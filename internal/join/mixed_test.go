package join_test

import (
	"bytes"
	"errors"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
)

// mixedRig is a join of a TCP connection with another kind, as a stream of multiplex is:
// what sockets can do is missing on that side.
func mixedRig(t *testing.T, socket join.Side) (tcp, memory farEnd, result <-chan join.Result) {
	t.Helper()
	near, far := conntest.Pair(t)
	if err := far.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	nearMemory, farMemory := conntest.Memory()
	t.Cleanup(func() { _ = farMemory.Reset() })
	ends := [2]conn.Conn{nearMemory, nearMemory}
	ends[socket] = near
	done := make(chan join.Result, 1)
	joinTo(t, t.Context(), ends[join.A], ends[join.B], done)
	return far, farMemory, done
}

// farEnd is the peer of a joined connection.
type farEnd = conn.Conn

func TestMixedConnections(t *testing.T) {
	sent := pattern(3<<20 + 17)
	forEachSide(t, func(t *testing.T, socket join.Side) {
		t.Run("bytes and ends", func(t *testing.T) {
			tcp, memory, result := mixedRig(t, socket)
			wrote := make(chan error, 2)
			for _, conn := range []farEnd{tcp, memory} {
				go func() {
					_, err := conn.Write(sent)
					wrote <- errors.Join(err, conn.CloseWrite())
				}()
			}
			got := make(chan []byte, 2)
			for _, conn := range []farEnd{tcp, memory} {
				go func() {
					b, err := io.ReadAll(conn)
					if err != nil {
						t.Error(err)
					}
					got <- b
				}()
			}
			for range 2 {
				if b := <-got; !bytes.Equal(b, sent) {
					t.Errorf("got %d bytes, want %d, the same ones", len(b), len(sent))
				}
				if err := <-wrote; err != nil {
					t.Error(err)
				}
			}
			if r := <-result; r.Err != nil || r.AToB != int64(len(sent)) || r.BToA != int64(len(sent)) {
				t.Errorf("got %+v", r)
			}
		})
		t.Run("reset of the socket", func(t *testing.T) {
			tcp, memory, result := mixedRig(t, socket)
			go func() { _, _ = tcp.Write([]byte("hello")) }()
			conntest.Read(t, memory, len("hello"))
			_ = tcp.Reset()
			wantReset(t, memory)
			wantFailure(t, <-result, socket)
		})
		t.Run("reset of the other", func(t *testing.T) {
			tcp, memory, result := mixedRig(t, socket)
			conntest.Write(t, memory, "last words")
			_ = memory.Reset()
			if got := wantReset(t, tcp); string(got) != "last words" {
				t.Errorf("got %q", got)
			}
			if r := <-result; !errors.Is(r.Err, syscall.ECONNRESET) || r.First != other(socket) {
				t.Errorf("got %+v", r)
			}
		})
	})
}
