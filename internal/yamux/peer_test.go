package yamux_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/yamux"
)

// Frames of yamux, written from its specification and not from the package, so that
// tests that play the peer do not repeat its mistakes.
const (
	typeData, typeWindow, typePing, typeGoAway = 0, 1, 2, 3

	flagSYN, flagACK, flagFIN, flagRST = 1, 2, 4, 8
)

type frame struct {
	kind   uint8
	flags  uint16
	stream uint32
	length uint32 // of the body in a data frame, otherwise a number
	body   string
}

func (f frame) String() string {
	return fmt.Sprintf("{type %d flags %#x stream %d length %d %.20q}", f.kind, f.flags, f.stream, f.length, f.body)
}

func (f frame) bytes() []byte {
	b := []byte{0, f.kind}
	b = binary.BigEndian.AppendUint16(b, f.flags)
	b = binary.BigEndian.AppendUint32(b, f.stream)
	b = binary.BigEndian.AppendUint32(b, f.length)
	return append(b, f.body...)
}

func encode(frames ...frame) (b []byte) {
	for _, f := range frames {
		b = append(b, f.bytes()...)
	}
	return b
}

func data(stream uint32, flags uint16, body string) frame {
	return frame{typeData, flags, stream, uint32(len(body)), body}
}

func update(stream uint32, flags uint16, grow uint32) frame {
	return frame{typeWindow, flags, stream, grow, ""}
}

// protocolError is the GO_AWAY for a receiver that violates the protocol.
var protocolError = frame{typeGoAway, 0, 0, 1, ""}

// peer is the other side of a session, which the test plays.
type peer struct {
	testing.TB
	conn resettableConn
}

// newPeer returns a session over TCP, and its other side for the test to play.
func newPeer(tb testing.TB, side func(yamux.Conn, yamux.Config) *yamux.Session, config yamux.Config) (*yamux.Session, peer) {
	tb.Helper()
	near, far := tcpPair(tb)
	check(tb, far.SetDeadline(time.Now().Add(patience)))
	return newPeerOn(tb, side(near, config), far)
}

func newPeerOn(tb testing.TB, s *yamux.Session, conn resettableConn) (*yamux.Session, peer) {
	tb.Cleanup(func() { _ = conn.Close(); s.Close() })
	return s, peer{tb, conn}
}

func (p peer) send(frames ...frame) {
	p.Helper()
	p.sendBytes(encode(frames...))
}

func (p peer) sendBytes(b []byte) {
	p.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.Fatalf("sending %x: %v", b[:min(len(b), 24)], err)
	}
}

func (p peer) receive() (f frame, err error) {
	for {
		f, err = p.receiveAny()
		if err != nil || !f.measures() {
			return f, err
		}
	}
}

// measures reports whether f is a ping that measures the round trip. One may come at
// any time while windows could grow.
func (f frame) measures() bool { return f.kind == typePing && f.flags == flagSYN && f.length != 0 }

func (p peer) receiveAny() (f frame, err error) {
	var header [12]byte
	if _, err := io.ReadFull(p.conn, header[:]); err != nil {
		return f, err
	}
	f = frame{
		kind:   header[1],
		flags:  binary.BigEndian.Uint16(header[2:]),
		stream: binary.BigEndian.Uint32(header[4:]),
		length: binary.BigEndian.Uint32(header[8:]),
	}
	if header[0] != 0 {
		return f, fmt.Errorf("version %d", header[0])
	}
	if f.kind == typeData {
		body := make([]byte, f.length)
		_, err = io.ReadFull(p.conn, body)
		f.body = string(body)
	}
	return f, err
}

// want expects these frames next, one after the other.
func (p peer) want(frames ...frame) {
	p.Helper()
	for _, want := range frames {
		if got, err := p.receive(); err != nil || got != want {
			p.Fatalf("got frame %v, %v; want %v", got, err, want)
		}
	}
}

// sync waits until everything sent has been handled and answered: frames are handled in
// order. It returns what came meanwhile. The answer to a ping may overtake others that
// wait to be sent with it, but not the answer to a second ping.
func (p peer) sync() (frames []frame) {
	p.Helper()
	for value := range uint32(2) {
		value += 0x51c05ca1
		p.send(frame{typePing, flagSYN, 0, value, ""})
		for {
			f, err := p.receive()
			if err != nil {
				p.Fatalf("waiting for the answer to a ping: %v", err)
			}
			if f == (frame{typePing, flagACK, 0, value, ""}) {
				break
			}
			frames = append(frames, f)
		}
	}
	return frames
}

// wantNothing expects no answer to what was sent.
func (p peer) wantNothing() {
	p.Helper()
	if frames := p.sync(); len(frames) > 0 {
		p.Errorf("got frames %v, want none", frames)
	}
}

// open has the session open its next stream, and acknowledges it.
func (p peer) open(s *yamux.Session, id uint32) *yamux.Stream {
	p.Helper()
	var st *yamux.Stream
	opening := async(func() (err error) { st, err = s.Open(p.Context()); return err })
	p.want(update(id, flagSYN, 0))
	check(p, wait(p, opening, "Open"))
	check(p, st.SetDeadline(time.Now().Add(patience)))
	p.send(update(id, flagACK, 0))
	return st
}

// accept opens a stream at the session.
func (p peer) accept(s *yamux.Session, id uint32) *yamux.Stream {
	p.Helper()
	p.send(update(id, flagSYN, 0))
	var st *yamux.Stream
	accepting := async(func() (err error) { st, err = s.Accept(background); return err })
	p.want(update(id, flagACK, 0))
	check(p, wait(p, accepting, "Accept"))
	check(p, st.SetDeadline(time.Now().Add(patience)))
	return st
}

// wantEnd expects these frames and then the end of the connection, by FIN or, if the
// other side has not read everything, by RST.
func (p peer) wantEnd(frames ...frame) {
	p.Helper()
	p.want(frames...)
	if f, err := p.receive(); err != io.EOF && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.ErrClosedPipe) {
		p.Errorf("got frame %v, %v; want the end of the connection", f, err)
	}
}
