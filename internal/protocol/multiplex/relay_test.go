package multiplex_test

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/multiplex"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
	"github.com/seed96252745/relay/internal/wire"
)

// The bytes are those of docs/protocol.md, of a user who sends hi and ends.
func TestBytesOfTheDocumentation(t *testing.T) {
	tunnel, client := newTunnel(t)
	user := open(t, tunnel) // has sent nothing yet; the stream is open even so
	client.want(frame{kind: typeWindow, flags: flagSYN, stream: 1})
	client.send(frame{kind: typeWindow, flags: flagACK, stream: 1})
	conntest.Write(t, user, "hi")
	client.want(data(1, 0, "hi"))
	if err := user.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	client.want(frame{kind: typeWindow, flags: flagFIN, stream: 1})
	client.send(data(1, 0, "hello"), data(1, flagFIN, " there"))
	if got, err := io.ReadAll(user); err != nil || string(got) != "hello there" {
		t.Errorf("the user got %q, %v", got, err)
	}
	if err := user.Close(); err != nil {
		t.Error(err)
	}
}

func TestRegisterOnDeadConnection(t *testing.T) {
	conn, _ := protocoltest.Pair(t)
	_ = conn.Close()
	if tunnel, err := (&multiplex.Relay{}).Register(conn, protocol.Grant{Answer: wire.Answer{Port: 20001}}); err == nil {
		_ = tunnel.Close()
		t.Error("registered on a connection that cannot be written to")
	}
}

// The relay's streams have odd ids, each used once.
func TestStreamIDs(t *testing.T) {
	tunnel, client := newTunnel(t)
	for id := range uint32(5) {
		user := open(t, tunnel)
		client.want(frame{kind: typeWindow, flags: flagSYN, stream: 2*id + 1})
		_ = user.Reset()
		client.want(frame{kind: typeWindow, flags: flagRST, stream: 2*id + 1})
	}
}

// A stream may be acknowledged with its first data.
func TestAcknowledgedWithData(t *testing.T) {
	tunnel, client := newTunnel(t)
	user := open(t, tunnel)
	client.want(frame{kind: typeWindow, flags: flagSYN, stream: 1})
	client.send(data(1, flagACK, "220 ready"))
	conntest.WantRead(t, user, "220 ready")
	_ = user.Reset()
}

// A reset is no end, neither with nor without bytes before it.
func TestPeerResetsStream(t *testing.T) {
	for name, before := range map[string][]frame{
		"at once":          {{kind: typeWindow, flags: flagRST, stream: 1}},
		"with a data type": {{kind: typeData, flags: flagRST, stream: 1}},
		"after its FIN":    {{kind: typeWindow, flags: flagFIN, stream: 1}, {kind: typeWindow, flags: flagRST, stream: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			tunnel, client := newTunnel(t)
			user, other := openAcknowledged(t, tunnel, client), open(t, tunnel)
			client.want(frame{kind: typeWindow, flags: flagSYN, stream: 3})
			client.send(before...)
			if name != "after its FIN" {
				wantFailure(t, user)
			}
			// Writing fails too, at the latest when the window is used up.
			_, err := user.Write(make([]byte, window+1))
			if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("writing to a stream that was reset gives %v", err)
			}
			client.send(data(3, flagACK, "other")) // is not touched
			conntest.WantRead(t, other, "other")
			_ = other.Reset()
		})
	}
}

// What a user does after the tunnel has gone must fail, and not end.
func TestSessionEnds(t *testing.T) {
	for name, end := range map[string]func(client yamuxPeer){
		"FIN":    func(c yamuxPeer) { _ = c.conn.CloseWrite() },
		"closed": func(c yamuxPeer) { _ = c.conn.Close() },
		"reset":  func(c yamuxPeer) { _ = c.conn.Reset() },
		"GO_AWAY with a reason": func(c yamuxPeer) {
			c.send(frame{kind: typeGoAway, length: 2})
		},
		"version": func(c yamuxPeer) { conntest.Write(c.T, c.conn, "\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00") },
		"type":    func(c yamuxPeer) { c.send(frame{kind: 9}) },
		"HTTP":    func(c yamuxPeer) { conntest.Write(c.T, c.conn, "GET / HTTP/1.1\r\n\r\n") },
		"a stream of the relay's": func(c yamuxPeer) {
			c.send(frame{kind: typeWindow, flags: flagSYN, stream: 7})
		},
		"more than the window": func(c yamuxPeer) {
			c.send(data(1, 0, strings.Repeat("x", window)), data(1, 0, "x"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			tunnel, client := newTunnel(t)
			user := openAcknowledged(t, tunnel, client)
			end(client)
			protocoltest.WantEnded(t, tunnel)
			if _, err := tunnel.Open(t.Context(), netip.AddrPort{}); !errors.Is(err, protocol.ErrTunnelEnded) {
				t.Errorf("a new user gets %v, want %v", err, protocol.ErrTunnelEnded)
			}
			if _, err := io.Copy(io.Discard, user); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a user reads %v (nil is EOF), want a failure", err)
			}
			if _, err := user.Write([]byte("x")); err == nil {
				t.Error("a user can write")
			}
			_ = user.Reset()
		})
	}
}

// The session dies while users wait for a stream, read, and write.
func TestSessionEndsUnderWay(t *testing.T) {
	tunnel, client := newTunnel(t)
	reader := openAcknowledged(t, tunnel, client)
	const unacknowledged = 256
	for range unacknowledged - 1 {
		open(t, tunnel)
	}
	writer := open(t, tunnel)
	failed := make(chan error, 3)
	go func() {
		_, err := tunnel.Open(t.Context(), netip.AddrPort{}) // one too many until there is an acknowledgement
		failed <- err
	}()
	go func() {
		_, err := reader.Read(make([]byte, 1))
		failed <- err
	}()
	go func() {
		_, err := writer.Write(make([]byte, 2*window))
		failed <- err
	}()
	go func() {
		for f, err := client.receive(); err == nil; f, err = client.receive() {
			if f.kind == typeData {
				_ = client.conn.Reset() // all three wait, or are about to
			}
		}
	}()
	for range cap(failed) {
		if err := <-failed; err == nil || errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want a failure", err)
		}
	}
	protocoltest.WantEnded(t, tunnel)
}

// At most 256 streams are not acknowledged. The next user waits, and can give
// up.
func TestUnacknowledgedStreams(t *testing.T) {
	tunnel, client := newTunnel(t)
	for range 256 {
		open(t, tunnel)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	opened := make(chan error, 1)
	go func() {
		_, err := tunnel.Open(ctx, netip.AddrPort{})
		opened <- err
	}()
	cancel(protocoltest.ErrUserLeft)
	if err := <-opened; !errors.Is(err, protocoltest.ErrUserLeft) {
		t.Errorf("a user who gives up gets %v, want the cause of the context", err)
	}
	for id := range uint32(256) {
		client.want(frame{kind: typeWindow, flags: flagSYN, stream: 2*id + 1})
	}
	client.send(frame{kind: typeWindow, flags: flagACK, stream: 1})
	open(t, tunnel)
}

func TestClaimOfUnknownID(t *testing.T) {
	conn, client := protocoltest.Pair(t)
	if err := (&multiplex.Relay{}).Claim(conn, "", "ID"); !errors.Is(err, protocol.ErrUnknownID) {
		t.Errorf("got %v, want %v", err, protocol.ErrUnknownID)
	}
	if got, err := io.ReadAll(client); !errors.Is(err, syscall.ECONNRESET) || len(got) > 0 {
		t.Errorf("got %q, %v; want a reset", got, err)
	}
}

// Most libraries show the end of a session as the end of each stream. So streams are
// reset first when the relay ends a session that has some.
func TestCloseResetsStreams(t *testing.T) {
	tunnel, client := newTunnel(t)
	const users = 20
	var all [users]conn.Conn
	for n := range uint32(users) {
		all[n] = open(t, tunnel)
		client.want(frame{kind: typeWindow, flags: flagSYN, stream: 2*n + 1})
		conntest.Write(t, all[n], "half of a fi")
		client.want(data(2*n+1, 0, "half of a fi"))
	}
	ended := all[0]
	if err := ended.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	client.want(frame{kind: typeWindow, flags: flagFIN, stream: 1})
	client.send(data(1, flagFIN, "answer"))
	conntest.WantRead(t, ended, "answer")
	over := make(chan struct{})
	ended.(interface{ OnEnd(func()) }).OnEnd(func() { close(over) })
	<-over // the end comes behind the answer
	if err := tunnel.Close(); err != nil {
		t.Fatal(err)
	}
	reset := make(map[uint32]bool)
	for range users - 1 { // in any order
		f, err := client.receive()
		if err != nil || f.kind != typeWindow || f.flags != flagRST {
			t.Fatalf("got frame %v, %v; want a reset", f, err)
		}
		reset[f.stream] = true
	}
	if len(reset) != users-1 || reset[1] {
		t.Errorf("streams %v were reset, want all but the one that had ended", reset)
	}
	client.wantEnd()
	for _, user := range all[1:] {
		wantFailure(t, user)
	}
}

// A relay client that reads nothing any more does not keep Close waiting.
func TestCloseWithoutReader(t *testing.T) {
	tunnel, client := newTunnel(t)
	user := openAcknowledged(t, tunnel, client)
	client.send(frame{kind: typeWindow, stream: 1, length: 1 << 30})
	full := make(chan struct{})
	go func() {
		defer close(full)
		for err := error(nil); err == nil; {
			_ = user.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
			_, err = user.Write(make([]byte, 64<<10))
		}
	}()
	<-full
	began := time.Now()
	if err := tunnel.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("took %v", took)
	}
}

func TestClose(t *testing.T) {
	tunnel, client := newTunnel(t)
	user := openAcknowledged(t, tunnel, client)
	closed := make(chan error, 2)
	for range cap(closed) {
		go func() { closed <- tunnel.Close() }()
	}
	client.want(frame{kind: typeWindow, flags: flagRST, stream: 1})
	client.wantEnd() // and no GO_AWAY
	_ = client.conn.Close()
	for range cap(closed) {
		if err := <-closed; err != nil {
			t.Error(err)
		}
	}
	protocoltest.WantEnded(t, tunnel)
	wantFailure(t, user)
}
