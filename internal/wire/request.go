package wire

import (
	"errors"
	"io"
	"strings"
)

// Errors of a request whose lines can be read but mean nothing.
var (
	ErrUnknownVerb    = errors.New("unknown verb")
	ErrNoID           = errors.New("empty id")
	ErrBadOption      = errors.New("option line without a key")
	ErrTooManyOptions = errors.New("too many option lines")
)

// Request is what a connection asks of the relay with its first lines.
type Request struct {
	// Options are the option lines before the verb, in their order.
	Options []Option
	// Verb is Multiplex, Pool or Event.
	Verb string
	// ID names what is claimed. It is empty in a registration.
	ID string
}

// Option is one option line, "+<key> <value>". An empty value is none.
type Option struct{ Key, Value string }

// IsClaim tells a data connection from a registration.
func (r Request) IsClaim() bool { return r.ID != "" }

// ReadRequest reads the lines of a request and not a byte more, if r is a
// [Reader]. It returns an error of readLine, one of the errors above, or what
// r returned.
func ReadRequest(r io.ByteReader) (Request, error) {
	var req Request
	for {
		line, err := readVerbOrOption(r)
		if err != nil && len(req.Options) > 0 {
			return req, noEOF(err)
		}
		if err != nil {
			return req, err
		}
		if !strings.HasPrefix(line, "+") {
			req.Verb = line
			break
		}
		if len(req.Options) == maxOptions {
			return req, ErrTooManyOptions
		}
		key, value, _ := strings.Cut(line[1:], " ")
		if key == "" {
			return req, ErrBadOption
		}
		req.Options = append(req.Options, Option{key, value})
	}
	switch req.Verb {
	case Multiplex:
		return req, nil
	case Pool, Event:
		id, err := ReadID(r)
		if err != nil {
			return req, noEOF(err)
		}
		if id != newWord {
			req.ID = id
		}
		return req, nil
	}
	return req, ErrUnknownVerb
}

// readVerbOrOption reads one line, whose first byte decides which bytes it may
// have and how long it may be.
func readVerbOrOption(r io.ByteReader) (string, error) {
	first := &firstByte{ByteReader: r}
	c, err := first.peek()
	if err != nil {
		return "", err
	}
	if c == '+' {
		return readLine(first, maxText, space)
	}
	return readLine(first, maxVerb, graphic)
}

// firstByte is a ByteReader whose first byte can be looked at.
type firstByte struct {
	io.ByteReader
	c    byte
	held bool
}

func (f *firstByte) peek() (byte, error) {
	c, err := f.ByteReader.ReadByte()
	f.c, f.held = c, err == nil
	return c, err
}

func (f *firstByte) ReadByte() (byte, error) {
	if f.held {
		f.held = false
		return f.c, nil
	}
	return f.ByteReader.ReadByte()
}

// noEOF turns an end between two lines of a request into an unexpected one.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// WriteTo writes the request as lines, in one write.
func (r Request) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	for _, o := range r.Options {
		b.WriteString("+" + o.Key)
		if o.Value != "" {
			b.WriteString(" " + o.Value)
		}
		b.WriteString("\n")
	}
	b.WriteString(r.Verb + "\n")
	if r.Verb != Multiplex {
		id := r.ID
		if id == "" {
			id = newWord
		}
		b.WriteString(id + "\n")
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}
