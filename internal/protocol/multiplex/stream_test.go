package multiplex_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
)

// GO_AWAY announces that the relay client takes no more users. Those whom it has go
// on.
func TestGoAway(t *testing.T) {
	tunnel, client := newTunnel(t)
	user := openAcknowledged(t, tunnel, client)
	client.send(frame{kind: typeGoAway})
	protocoltest.WantEnded(t, tunnel)
	if _, err := tunnel.Open(t.Context(), netip.AddrPort{}); !errors.Is(err, protocol.ErrTunnelEnded) {
		t.Errorf("a new user gets %v, want %v", err, protocol.ErrTunnelEnded)
	}
	conntest.Write(t, user, "still here")
	client.want(data(1, 0, "still here"))
	client.send(data(1, flagFIN, "so are we"))
	if got, err := io.ReadAll(user); err != nil || string(got) != "so are we" {
		t.Errorf("the user got %q, %v", got, err)
	}
	_ = user.Close()
}

// A relay client opens no streams. Those that it opens are reset, and too many
// of them end the tunnel.
func TestStraysAreReset(t *testing.T) {
	tunnel, client := newTunnel(t)
	user := openAcknowledged(t, tunnel, client)
	const most = 100
	for i := range uint32(most) {
		id := 2*i + 2
		client.send(frame{kind: typeWindow, flags: flagSYN, stream: id})
		client.want(frame{kind: typeWindow, flags: flagRST, stream: id})
	}
	conntest.Write(t, user, "still here")
	client.want(data(1, 0, "still here"))
	client.send(frame{kind: typeWindow, flags: flagSYN, stream: 2*most + 2})
	protocoltest.WantEnded(t, tunnel)
	wantFailure(t, user)
}

// A stream that the relay client opens with data is reset as well, and the data
// is not taken for the next frame.
func TestStrayWithData(t *testing.T) {
	tunnel, client := newTunnel(t)
	user := openAcknowledged(t, tunnel, client)
	client.send(data(2, flagSYN, "GET / HTTP/1.1\r\n\r\n"))
	client.wantFlag(2, flagRST)
	client.send(data(1, 0, "for the user"))
	conntest.WantRead(t, user, "for the user")
	_ = user.Reset()
}

// Each stream has a window of its own: a relay client that does not read one
// user stops that user, after 256 KiB, and nobody else.
func TestBackPressure(t *testing.T) {
	tunnel, client := newTunnel(t)
	user, other := openAcknowledged(t, tunnel, client), open(t, tunnel)
	client.want(frame{kind: typeWindow, flags: flagSYN, stream: 3})
	wrote := make(chan int, 1)
	go func() {
		n, err := user.Write(make([]byte, 2*window))
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after %d bytes: %v, want that the deadline ends the waiting", n, err)
		}
		wrote <- n
	}()
	for got := uint32(0); got < window; {
		f, err := client.receive()
		if err != nil || f.stream != 1 {
			t.Fatalf("got %v, %v", f, err)
		}
		got += f.length
	}
	conntest.Write(t, other, "me too")
	client.want(data(3, 0, "me too")) // and not one byte of the first
	if err := user.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n := <-wrote; n != window {
		t.Errorf("%d bytes were taken while the relay client opened no window, want %d", n, window)
	}
	// The window opens, and all goes on where it stopped.
	if err := user.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	client.send(frame{kind: typeWindow, stream: 1, length: 5})
	conntest.Write(t, user, "hello")
	client.want(data(1, 0, "hello"))
}

// A user who reads, and one who writes, are let go when their connection is
// closed or reset. The relay client hears of it.
func TestClosedUnderWay(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(conn.Conn) error
		flag uint16
	}{
		"Close": {conn.Conn.Close, flagFIN},
		"Reset": {conn.Conn.Reset, flagRST},
	} {
		t.Run(name, func(t *testing.T) {
			tunnel, client := newTunnel(t)
			user := openAcknowledged(t, tunnel, client)
			failed := make(chan error, 2)
			go func() {
				_, err := user.Read(make([]byte, 1))
				failed <- err
			}()
			go func() {
				_, err := user.Write(make([]byte, 2*window))
				failed <- err
			}()
			for got := uint32(0); got < window; { // then the writer waits
				f, err := client.receive()
				if err != nil {
					t.Fatal(err)
				}
				got += f.length
			}
			if err := tt.end(user); err != nil {
				t.Error(err)
			}
			for range 2 {
				if err := <-failed; !errors.Is(err, net.ErrClosed) {
					t.Errorf("got %v, want %v", err, net.ErrClosed)
				}
			}
			client.wantFlag(1, tt.flag)
			if err := tt.end(user); !errors.Is(err, net.ErrClosed) {
				t.Errorf("a second time gives %v, want %v", err, net.ErrClosed)
			}
			client.send(frame{kind: typeWindow, flags: flagRST, stream: 1})
		})
	}
}

// A relay client that is silent for 15 seconds is pinged. If it does not answer
// it is dead, and its users are reset.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := conntest.Memory()
		defer far.Close()
		tunnel, client := register(t, near, far)
		user, opened := make(chan conn.Conn, 1), time.Now()
		go func() {
			st, err := tunnel.Open(t.Context(), netip.AddrPort{})
			if err != nil {
				t.Error(err)
			}
			user <- st
		}()
		client.want(frame{kind: typeWindow, flags: flagSYN, stream: 1})
		st := <-user
		// Answers to pings keep it alive.
		alive := make(chan frame, 1)
		go func() {
			f, _ := client.receive() // answers all that come before
			alive <- f
		}()
		pass(time.Hour)
		if tunnel.Ended().Err() != nil {
			t.Fatalf("ended after %v although all pings were answered", time.Since(opened))
		}
		if _, err := st.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		if f := <-alive; f.body != "x" {
			t.Errorf("got %v", f)
		}
		// From here on the peer reads, and sends nothing.
		client.send(frame{kind: typeWindow, flags: flagACK, stream: 1})
		synctest.Wait()
		since := time.Now()
		go func() { _, _ = io.Copy(io.Discard, far) }()
		<-tunnel.Ended().Done()
		if took := time.Since(since); took < 15*time.Second || took > 45*time.Second {
			t.Errorf("ended after a silence of %v", took)
		}
		wantFailure(t, st)
		_ = st.Reset()
	})
}

func pass(d time.Duration) { <-time.After(d) }
