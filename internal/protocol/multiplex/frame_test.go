package multiplex_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/seed96252745/relay/internal/conn"
)

// Frames of yamux, written down from its specification and not from any
// implementation of it.
const (
	typeData, typeWindow, typePing, typeGoAway = 0, 1, 2, 3
	flagSYN, flagACK, flagFIN, flagRST         = 1, 2, 4, 8
)

// window is what either side may send on a stream before it is told more.
const window = 256 << 10

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

func data(stream uint32, flags uint16, body string) frame {
	return frame{typeData, flags, stream, uint32(len(body)), body}
}

// yamuxPeer is the other end of a session, played by the test.
type yamuxPeer struct {
	*testing.T
	conn conn.Conn
}

func (p yamuxPeer) send(frames ...frame) {
	p.Helper()
	var b []byte
	for _, f := range frames {
		b = append(b, f.bytes()...)
	}
	if _, err := p.conn.Write(b); err != nil {
		p.Fatalf("sending %v: %v", frames, err)
	}
}

// receive returns the next frame that is not a ping. Pings are answered.
func (p yamuxPeer) receive() (frame, error) {
	for {
		var header [12]byte
		if _, err := io.ReadFull(p.conn, header[:]); err != nil {
			return frame{}, err
		}
		f := frame{
			kind:   header[1],
			flags:  binary.BigEndian.Uint16(header[2:]),
			stream: binary.BigEndian.Uint32(header[4:]),
			length: binary.BigEndian.Uint32(header[8:]),
		}
		if header[0] != 0 {
			return f, fmt.Errorf("version %d", header[0])
		}
		switch {
		case f.kind == typeData:
			body := make([]byte, f.length)
			if _, err := io.ReadFull(p.conn, body); err != nil {
				return f, err
			}
			f.body = string(body)
			return f, nil
		case f.kind != typePing:
			return f, nil
		case f.flags&flagSYN != 0:
			f.flags = flagACK
			if _, err := p.conn.Write(f.bytes()); err != nil {
				return f, err
			}
		}
	}
}

// want expects a frame that is no ping.
func (p yamuxPeer) want(want frame) {
	p.Helper()
	if got, err := p.receive(); err != nil || got != want {
		p.Fatalf("got frame %v, %v; want %v", got, err, want)
	}
}

// wantFlag expects a frame of a stream that has all of these flags. Frames that
// only open the window are passed over.
func (p yamuxPeer) wantFlag(stream uint32, flags uint16) frame {
	p.Helper()
	for {
		f, err := p.receive()
		if err != nil {
			p.Fatalf("waiting for flags %#x on stream %d: %v", flags, stream, err)
		}
		if f.stream == stream && f.flags&flags == flags {
			return f
		}
		if f.kind != typeWindow || f.flags != 0 {
			p.Fatalf("got frame %v, want flags %#x on stream %d", f, flags, stream)
		}
	}
}

// wantEnd expects that the session is ended, without a frame before it.
func (p yamuxPeer) wantEnd() {
	p.Helper()
	if f, err := p.receive(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		p.Errorf("got frame %v, %v; want the end of the connection", f, err)
	}
}
