package wire

import (
	"errors"
	"io"
	"slices"
	"strings"
)

// Errors of a request whose lines are well-formed but have no meaning.
var (
	ErrUnknownVerb    = errors.New("unknown verb")
	ErrNoID           = errors.New("empty id")
	ErrBadOption      = errors.New("option line without a key")
	ErrTooManyOptions = errors.New("too many option lines")
)

// Verb is the first line of the requests of a protocol.
type Verb struct {
	// Name is the line itself.
	Name string
	// Claims is set if a second line shows whether a connection registers or claims
	// something. Otherwise one that claims something says so with OptionSession.
	Claims bool
}

// Request is what a connection asks of the relay in its first lines.
type Request struct {
	// Options are the option lines before the verb, in order.
	Options []Option
	Verb    Verb
	// ID names what is claimed. A registration has none. Where the verb has no second
	// line it is the value of the first OptionSession, and WriteTo leaves it to that.
	ID string
}

// Option is one option line, "+<key> <value>". An empty value stands for none.
type Option struct{ Key, Value string }

// IsClaim reports whether the request is of a data connection, and not a registration.
func (r Request) IsClaim() bool { return r.ID != "" }

// ReadRequest reads the lines of a request with one of the verbs, and not a byte more if
// r is a [Reader]. It returns an error of readLine, one of the errors above, or what r
// returned.
func ReadRequest(r io.ByteReader, verbs []Verb) (Request, error) {
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
			i := slices.IndexFunc(verbs, func(v Verb) bool { return v.Name == line })
			if i < 0 {
				return req, ErrUnknownVerb
			}
			req.Verb = verbs[i]
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
	if !req.Verb.Claims {
		req.ID = sessionOf(req.Options)
		return req, nil
	}
	id, err := ReadID(r)
	if err != nil {
		return req, noEOF(err)
	}
	if id != newWord {
		req.ID = id
	}
	return req, nil
}

// sessionOf returns the id of the tunnel that a connection is another session of, or "".
func sessionOf(options []Option) string {
	i := slices.IndexFunc(options, func(o Option) bool { return o.Key == OptionSession })
	if i < 0 {
		return ""
	}
	return options[i].Value
}

// readVerbOrOption reads one line. The first byte decides which bytes it may have and
// how long it may be.
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

// firstByte is a ByteReader that lets its first byte be peeked at.
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
	b.WriteString(r.Verb.Name + "\n")
	if r.Verb.Claims {
		id := r.ID
		if id == "" {
			id = newWord
		}
		b.WriteString(id + "\n")
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}
