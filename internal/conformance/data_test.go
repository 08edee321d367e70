package conformance_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
)

// stream is the bytes that a seed stands for. Both ends know them, so that any
// part of them can be checked where it arrives.
type stream struct{ source *rand.ChaCha8 }

func newStream(seed byte, about ...byte) *stream {
	key := [32]byte{seed}
	copy(key[1:], about)
	return &stream{rand.NewChaCha8(key)}
}

func (s *stream) Read(b []byte) (int, error) { return s.source.Read(b) }

// send writes the first n bytes of s to conn.
func send(conn net.Conn, s *stream, n int64) error {
	sent, err := io.Copy(struct{ io.Writer }{conn}, io.LimitReader(s, n))
	if err != nil {
		return fmt.Errorf("after sending %d of %d bytes: %w", sent, n, err)
	}
	return nil
}

// errDiffers is data that its sender did not send.
var errDiffers = errors.New("wrong bytes arrived")

// receive reads conn to its end and compares with s. It returns how much came,
// and how it ended: nil for FIN.
func receive(conn net.Conn, s *stream) (n int64, err error) {
	got, want := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		m, err := conn.Read(got)
		_, _ = s.Read(want[:m])
		if !bytes.Equal(got[:m], want[:m]) {
			return n, fmt.Errorf("%w, within %d bytes after %d", errDiffers, m, n)
		}
		n += int64(m)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// receiveAll is receive for a stream of n bytes that ends with FIN.
func receiveAll(conn net.Conn, s *stream, n int64) error {
	got, err := receive(conn, s)
	if err == nil && got != n {
		err = errors.New("the end came")
	}
	if err != nil {
		return fmt.Errorf("after receiving %d of %d bytes: %w", got, n, err)
	}
	return nil
}

// expect reads exactly the next n bytes of s from conn.
func expect(conn net.Conn, s *stream, n int64) error {
	got, want := make([]byte, n), make([]byte, n)
	if m, err := io.ReadFull(conn, got); err != nil {
		return fmt.Errorf("after receiving %d of %d bytes: %w", m, n, err)
	}
	_, _ = s.Read(want)
	if !bytes.Equal(got, want) {
		return errDiffers
	}
	return nil
}

// must fails the test at the first error.
func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}
