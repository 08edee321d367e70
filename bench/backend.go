//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
)

// The first byte of a connection asks the backend for one of these.
const (
	modeEcho     = 'E' // send everything back, this byte as well
	modeUpload   = 'U' // check a stream, and answer with a verdict
	modeDownload = 'D' // send a stream: so many chunks, or until a byte comes or the end
)

const (
	// headerSize is of the mode, the seed, the chunks of a download, and bytes that are
	// reserved.
	headerSize  = 16
	chunksAt    = 3
	messageSize = 64
	// verdictSize is of right or wrong, and of how many bytes there were.
	verdictSize  = 9
	verdictRight = 'R'
	verdictWrong = 'W'
)

func header(mode byte, seed uint16) []byte {
	h := make([]byte, headerSize)
	h[0] = mode
	binary.BigEndian.PutUint16(h[1:], seed)
	return h
}

// downloadHeader asks for so many chunks, or for a download until a byte comes.
func downloadHeader(seed uint16, chunks uint32) []byte {
	h := header(modeDownload, seed)
	binary.BigEndian.PutUint32(h[chunksAt:], chunks)
	return h
}

// backendMain runs the server behind all contenders. It prints its address.
func backendMain(ctx context.Context, host string, stdout io.Writer) error {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	p, err := newPattern()
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s\n", l.Addr())
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting: %w", err)
		}
		go func() {
			defer func() { _ = conn.Close() }()
			if err := serve(conn.(*net.TCPConn), p); err != nil {
				fmt.Fprintln(os.Stderr, "backend:", err)
			}
		}()
	}
}

// serve does what the connection asks for. The load generator judges how an echo or a
// download ends.
func serve(conn *net.TCPConn, p pattern) error {
	h := make([]byte, headerSize)
	if n, err := io.ReadFull(conn, h); n == 0 {
		return nil // dialled ahead by a pool, and not used
	} else if err != nil {
		return fmt.Errorf("a header of %d bytes: %w", n, err)
	}
	seed := binary.BigEndian.Uint16(h[1:])
	switch h[0] {
	case modeEcho:
		serveEcho(conn, h)
		return nil
	case modeUpload:
		return serveUpload(conn, p, seed)
	case modeDownload:
		serveDownload(conn, p, seed, binary.BigEndian.Uint32(h[chunksAt:]))
		return nil
	}
	return fmt.Errorf("an unknown mode %q", h[0])
}

func serveEcho(conn *net.TCPConn, h []byte) {
	buf := make([]byte, 1024)
	n := copy(buf, h)
	// The rest of the first message is read first, so that it goes back in one piece.
	if _, err := io.ReadFull(conn, buf[n:messageSize]); err != nil {
		return
	}
	n = messageSize
	for {
		if _, err := conn.Write(buf[:n]); err != nil {
			return
		}
		var err error
		if n, err = conn.Read(buf); err != nil {
			return
		}
	}
}

func serveUpload(conn *net.TCPConn, p pattern, seed uint16) error {
	received, err := p.receive(conn, seed)
	verdict := []byte{verdictRight}
	if err != nil {
		verdict[0] = verdictWrong
	}
	verdict = binary.BigEndian.AppendUint64(verdict, uint64(received))
	if _, werr := conn.Write(verdict); err == nil {
		err = werr
	}
	if err != nil {
		return fmt.Errorf("upload %d: %w", seed, err)
	}
	return nil
}

func serveDownload(conn *net.TCPConn, p pattern, seed uint16, chunks uint32) {
	var told atomic.Bool
	stop := told.Load
	if chunks > 0 {
		stop = after(chunks)
	} else {
		go func() {
			_, _ = conn.Read(make([]byte, 1)) // a byte and an end both mean stop
			told.Store(true)
		}()
	}
	if _, err := p.send(conn, seed, stop); err == nil {
		_ = conn.CloseWrite() // the load generator notices if it did not arrive
	}
}
