package yamux_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/yamux"
)

// deaths are the ways in which a session can end, and what its Err then wraps.
var sessionEnds = map[string]struct {
	end func(*yamux.Session, peer)
	err error
}{
	"FIN":             {func(_ *yamux.Session, p peer) { check(p, p.conn.CloseWrite()) }, io.ErrUnexpectedEOF},
	"closed":          {func(_ *yamux.Session, p peer) { check(p, p.conn.Close()) }, nil},
	"RST":             {func(_ *yamux.Session, p peer) { check(p, p.conn.Reset()) }, syscall.ECONNRESET},
	"half a header":   {func(_ *yamux.Session, p peer) { p.sendBytes(make([]byte, 11)); p.conn.CloseWrite() }, io.ErrUnexpectedEOF},
	"half a frame":    {func(_ *yamux.Session, p peer) { p.sendBytes(data(513, 0, "x").bytes()[:12]); p.conn.CloseWrite() }, io.ErrUnexpectedEOF},
	"protocol error":  {func(_ *yamux.Session, p peer) { p.send(frame{kind: 9}) }, yamux.ErrProtocol},
	"GO_AWAY, error":  {func(_ *yamux.Session, p peer) { p.send(protocolError) }, nil},
	"GO_AWAY, broken": {func(_ *yamux.Session, p peer) { p.send(frame{kind: typeGoAway, length: 2}) }, nil},
	"Close":           {func(s *yamux.Session, _ peer) { s.Close() }, net.ErrClosed},
	"Drain": {func(s *yamux.Session, p peer) {
		// The peer ends its side when it sees the end, as a session does.
		finished := async(func() error { s.Drain(); return nil })
		_, _ = io.Copy(io.Discard, p.conn)
		_ = p.conn.Close()
		wait(p, finished, "Drain")
	}, nil},
}

// Whatever ends a session, no stream takes it for its own end, and received bytes can
// still be read.
func TestSessionEnds(t *testing.T) {
	for name, death := range sessionEnds {
		t.Run(name, func(t *testing.T) {
			session, peer := newPeer(t, yamux.Client, accepting)
			idle := peer.open(session, 1)
			buffered := peer.open(session, 3)
			complete := peer.open(session, 5)
			half := peer.open(session, 7)
			writer := peer.open(session, 9)
			accepted := peer.accept(session, 2)
			ended := peer.open(session, 11)
			check(t, half.CloseWrite())
			check(t, ended.CloseWrite())
			conntest.Write(t, writer, make([]byte, window))
			peer.send(data(3, 0, "more"), data(5, flagFIN, "all"), data(11, flagFIN, "all"))
			peer.sync()

			underWay := map[string]<-chan error{
				"a Read":               async(func() error { _, err := idle.Read(make([]byte, 1)); return err }),
				"a Read after FIN":     async(func() error { _, err := half.Read(make([]byte, 1)); return err }),
				"a Read, accepted":     async(func() error { _, err := accepted.Read(make([]byte, 1)); return err }),
				"a Write, window full": async(func() error { _, err := writer.Write([]byte("x")); return err }),
				"Accept":               async(func() error { _, err := session.Accept(background); return err }),
			}
			death.end(session, peer)
			for what, failed := range underWay {
				wantSessionErr(t, what, wait(t, failed, what))
			}
			wait(t, session.Done(), "the end of the session")
			wait(t, session.Refusing().Done(), "that the session refuses")
			wantSessionErr(t, "Err", session.Err())
			if !errors.Is(session.Err(), death.err) && death.err != nil {
				t.Errorf("Err is %v, want %v in it", session.Err(), death.err)
			}
			session.Close() // nothing is in flight after this
			conntest.WantRead(t, buffered, "more")
			for _, st := range []*yamux.Stream{idle, buffered, half, writer, accepted} {
				wantReadErr(t, st, yamux.ErrSessionEnded)
			}
			for _, st := range []*yamux.Stream{complete, ended} {
				conntest.WantRead(t, st, "all")
				wantReadErr(t, st, io.EOF)
			}
			for _, st := range []*yamux.Stream{idle, buffered, complete, writer, accepted} {
				_, err := st.Write([]byte("x"))
				wantSessionErr(t, "a Write afterwards", err)
				wantSessionErr(t, "CloseWrite afterwards", st.CloseWrite())
			}
			if _, err := ended.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
				t.Errorf("a Write after a good end returns %v, want %v", err, syscall.EPIPE)
			}
			_, err := session.Open(t.Context())
			wantSessionErr(t, "Open afterwards", err)
			_, err = session.Accept(background)
			wantSessionErr(t, "Accept afterwards", err)
			for _, st := range []*yamux.Stream{idle, buffered, complete, half, writer, accepted, ended} {
				check(t, st.Close())
			}
		})
	}
}

// Open waits for acknowledgements only while the session lives.
func TestSessionEndsWhileOpenWaits(t *testing.T) {
	for name, death := range sessionEnds {
		t.Run(name, func(t *testing.T) {
			session, peer := newPeer(t, yamux.Client, accepting)
			for range 256 {
				_, err := session.Open(t.Context())
				check(t, err)
			}
			opening := async(func() error { _, err := session.Open(context.Background()); return err })
			death.end(session, peer)
			err := wait(t, opening, "Open")
			// An error code may mean that there are too many streams.
			if tooMany := strings.HasPrefix(name, "GO_AWAY") && errors.Is(err, yamux.ErrTooManyStreams); !tooMany {
				wantSessionErr(t, "Open", err)
			}
		})
	}
}

// A stream that was not accepted in time has ended too.
func TestSessionEndsBeforeAccept(t *testing.T) {
	session, peer := newPeer(t, yamux.Client, accepting)
	peer.send(update(2, flagSYN, 0), data(4, flagSYN, "hello"))
	peer.sync()
	session.Close()
	for {
		st, err := session.Accept(background) // may still return a stream that waited
		if err != nil {
			wantSessionErr(t, "Accept", err)
			return
		}
		_, err = io.ReadAll(st)
		wantSessionErr(t, "Read", err)
	}
}

// When one of two sessions ends, what it wrote before is not lost.
func TestPeerSessionCloses(t *testing.T) {
	for name, end := range map[string]func(*yamux.Session){
		"Close": (*yamux.Session).Close, "Drain": (*yamux.Session).Drain,
	} {
		t.Run(name, func(t *testing.T) {
			client, server := sessions(t)
			a, b := open(t, client, server)
			_, complete := open(t, client, server)
			sent := pattern(6, 0, window)
			conntest.Write(t, a, sent)
			conntest.WantRead(t, b, sent[:1])
			check(t, complete.CloseWrite())
			end(client)
			if name == "Drain" { // Close promises nothing for what is in flight
				conntest.WantRead(t, b, sent[1:])
			} else if _, err := io.Copy(io.Discard, b); err == nil {
				t.Error("the end of the session looks like an end of the stream")
			}
			wantReadErr(t, b, yamux.ErrSessionEnded)
			wantReadErr(t, complete, yamux.ErrSessionEnded)
			wait(t, server.Done(), "the end of the peer's session")
			wantSessionErr(t, "Err", server.Err())
		})
	}
}

// failingConn is a connection whose reads block and whose writes fail.
type failingConn struct {
	yamux.Conn
	broken chan struct{}
}

func (c failingConn) Write(b []byte) (int, error) {
	select {
	case <-c.broken:
		return 0, &net.OpError{Op: "write", Err: syscall.EPIPE}
	default:
		return c.Conn.Write(b)
	}
}

// A connection that fails in a Write has ended the session by the time a caller sees
// that. Its error, which may be EPIPE, is not an error of a stream.
func TestConnectionFailsInWrite(t *testing.T) {
	for range 100 { // the order differs
		near, far := tcpPair(t)
		conn := failingConn{near, make(chan struct{})}
		session, peer := newPeerOn(t, yamux.Client(conn, yamux.Config{}), far)
		st, other := peer.open(session, 1), peer.open(session, 3)
		close(conn.broken)
		var err error
		for err == nil { // the first Write may succeed
			_, err = st.Write([]byte("x"))
		}
		wantSessionErr(t, "Write", err)
		wantSessionErr(t, "CloseWrite", other.CloseWrite())
		_, err = session.Open(t.Context())
		wantSessionErr(t, "Open", err)
		if t.Failed() {
			return
		}
		session.Close()
	}
}
