package wire

import (
	"errors"
	"fmt"
	"io"
)

// Errors of reading a line. The end of the connection is io.EOF before the first byte
// of a line, and io.ErrUnexpectedEOF after it.
var (
	// ErrTooLong is returned at the first byte beyond a line's limit.
	ErrTooLong = errors.New("line too long")
	// ErrBadByte is returned at the first byte that a line must not contain. The first
	// byte of TLS is one, and so is every space of an HTTP request.
	ErrBadByte = errors.New("byte that is not allowed in a line")
)

// readLine reads a line of at most limit bytes, each between lowest and 0x7e, and
// returns it without its end. It drops one carriage return before the newline.
func readLine(r io.ByteReader, limit int, lowest byte) (string, error) {
	var line []byte
	for {
		c, err := r.ReadByte()
		switch {
		case errors.Is(err, io.EOF) && len(line) > 0:
			return "", io.ErrUnexpectedEOF
		case err != nil:
			return "", err
		case c == '\n':
			return string(line), nil
		case c == '\r':
			return endAfterReturn(r, line)
		case c < lowest || c > '~':
			return "", fmt.Errorf("%w: %#02x", ErrBadByte, c)
		case len(line) == limit:
			return "", ErrTooLong
		}
		line = append(line, c)
	}
}

// endAfterReturn reads the newline that has to follow a carriage return.
func endAfterReturn(r io.ByteReader, line []byte) (string, error) {
	c, err := r.ReadByte()
	switch {
	case errors.Is(err, io.EOF):
		return "", io.ErrUnexpectedEOF
	case err != nil:
		return "", err
	case c != '\n':
		return "", fmt.Errorf("%w: 0x0d", ErrBadByte)
	}
	return string(line), nil
}

const (
	graphic = '!' // lowest byte of the base protocol's lines
	space   = ' ' // lowest byte of option lines and refusals
)

// ReadID reads a line with an id and nothing else.
func ReadID(r io.ByteReader) (string, error) {
	id, err := readLine(r, maxID, graphic)
	if err == nil && id == "" {
		err = ErrNoID
	}
	return id, err
}
