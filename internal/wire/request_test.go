package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/wire"
)

// options returns n option lines.
func options(n int) (lines string, parsed []wire.Option) {
	for i := range n {
		lines += fmt.Sprintf("+key%d value\n", i)
		parsed = append(parsed, wire.Option{Key: fmt.Sprintf("key%d", i), Value: "value"})
	}
	return lines, parsed
}

// Payload that could be taken for more lines, or for part of a line's end.
var payloads = []string{"", "\n", "\r\n", "x", "new\n", "multiplex\n", "\x00\xff\x16\x03\x01"}

func TestReadRequest(t *testing.T) {
	id128 := strings.Repeat("~", 128)
	sixteen, parsed := options(16)
	longest := "k " + strings.Repeat("v", 4096-3)
	tests := []struct {
		name, in string
		want     wire.Request
	}{
		{"multiplex", "multiplex\n", wire.Request{Verb: multiplex}},
		{"pool", "pool\nnew\n", wire.Request{Verb: pool}},
		{"event", "event\nnew\n", wire.Request{Verb: event}},
		{"pool claim", "pool\nCU7!~\n", wire.Request{Verb: pool, ID: "CU7!~"}},
		{"event claim", "event\nKQR\n", wire.Request{Verb: event, ID: "KQR"}},
		{"CRLF", "multiplex\r\n", wire.Request{Verb: multiplex}},
		{"CRLF, two lines", "pool\r\nnew\r\n", wire.Request{Verb: pool}},
		{"CRLF, then LF", "event\r\nABC\n", wire.Request{Verb: event, ID: "ABC"}},
		{"new is exact", "pool\nNEW\n", wire.Request{Verb: pool, ID: "NEW"}},
		{"new is a word, not a prefix", "pool\nnewer\n", wire.Request{Verb: pool, ID: "newer"}},
		{"shortest id", "pool\n!\n", wire.Request{Verb: pool, ID: "!"}},
		{"longest id", "pool\n" + id128 + "\n", wire.Request{Verb: pool, ID: id128}},
		{"longest id, CRLF", "pool\n" + id128 + "\r\n", wire.Request{Verb: pool, ID: id128}},
		{"id that starts like a refusal", "pool\n-x\n", wire.Request{Verb: pool, ID: "-x"}},
		{"id that starts like an option", "pool\n+x\n", wire.Request{Verb: pool, ID: "+x"}},
		{"option", "+a b\nmultiplex\n", wire.Request{Verb: multiplex, Options: []wire.Option{{Key: "a", Value: "b"}}}},
		{"option, CRLF", "+a b\r\nmultiplex\r\n", wire.Request{Verb: multiplex, Options: []wire.Option{{Key: "a", Value: "b"}}}},
		{"option without value", "+a\npool\nnew\n", wire.Request{Verb: pool, Options: []wire.Option{{Key: "a"}}}},
		{"option with spaces in its value", "+a  b c \npool\nnew\n", wire.Request{Verb: pool, Options: []wire.Option{{Key: "a", Value: " b c "}}}},
		{"options keep their order, and may repeat", "+b 1\n+a 2\n+b 3\nevent\nX\n",
			wire.Request{Verb: event, ID: "X", Options: []wire.Option{{"b", "1"}, {"a", "2"}, {"b", "3"}}}},
		{"another session", "+token T\n+session CU7\nmultiplex\n",
			wire.Request{Verb: multiplex, ID: "CU7", Options: []wire.Option{{"token", "T"}, {"session", "CU7"}}}},
		{"no session without an id", "+session\nmultiplex\n", wire.Request{Verb: multiplex, Options: []wire.Option{{Key: "session"}}}},
		{"a session of pool", "+session CU7\npool\nnew\n", wire.Request{Verb: pool, Options: []wire.Option{{"session", "CU7"}}}},
		{"longest option line", "+" + longest + "\nmultiplex\n",
			wire.Request{Verb: multiplex, Options: []wire.Option{{"k", longest[2:]}}}},
		{"most options", sixteen + "multiplex\n", wire.Request{Verb: multiplex, Options: parsed}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, payload := range payloads {
				r := strings.NewReader(tt.in + payload)
				got, err := wire.ReadRequest(r, verbs)
				if err != nil || !reflect.DeepEqual(got, tt.want) {
					t.Fatalf("before payload %q: got %+v, %v; want %+v", payload, got, err, tt.want)
				}
				if got.IsClaim() != (tt.want.ID != "") {
					t.Errorf("IsClaim() = %v with id %q", got.IsClaim(), tt.want.ID)
				}
				if rest, _ := io.ReadAll(r); string(rest) != payload {
					t.Errorf("left %q in the connection, want the payload %q", rest, payload)
				}
			}
		})
	}
}

func TestReadRequestRefuses(t *testing.T) {
	seventeen, _ := options(17)
	tests := []struct {
		name, in string
		want     error
	}{
		{"nothing", "", io.EOF},
		{"half a verb", "multi", io.ErrUnexpectedEOF},
		{"a verb without its end", "multiplex", io.ErrUnexpectedEOF},
		{"a verb with half an end", "multiplex\r", io.ErrUnexpectedEOF},
		{"no id", "pool\n", io.ErrUnexpectedEOF},
		{"half an id", "event\nAB", io.ErrUnexpectedEOF},
		{"id with half an end", "event\nAB\r", io.ErrUnexpectedEOF},
		{"half an option", "+a", io.ErrUnexpectedEOF},
		{"an option and no verb", "+a b\n", io.ErrUnexpectedEOF},
		{"empty line", "\n", wire.ErrUnknownVerb},
		{"empty line, CRLF", "\r\n", wire.ErrUnknownVerb},
		{"empty line before the verb", "\nmultiplex\n", wire.ErrUnknownVerb},
		{"empty id", "pool\n\n", wire.ErrNoID},
		{"empty id, CRLF", "event\r\n\r\n", wire.ErrNoID},
		{"lone CR as an end", "multiplex\rpool\n", wire.ErrBadByte},
		{"lone CR at the start", "\rmultiplex\n", wire.ErrBadByte},
		{"two CRs", "multiplex\r\r\n", wire.ErrBadByte},
		{"CR within an id", "pool\nA\rB\n", wire.ErrBadByte},
		{"space before", " multiplex\n", wire.ErrBadByte},
		{"space behind", "multiplex \n", wire.ErrBadByte},
		{"space within", "pool new\n", wire.ErrBadByte},
		{"space in an id", "pool\nA B\n", wire.ErrBadByte},
		{"tab", "multiplex\t\n", wire.ErrBadByte},
		{"tab in an option", "+a\tb\nmultiplex\n", wire.ErrBadByte},
		{"upper case", "MULTIPLEX\n", wire.ErrUnknownVerb},
		{"upper case first", "Pool\nnew\n", wire.ErrUnknownVerb},
		{"prefix of a verb", "even\nnew\n", wire.ErrUnknownVerb},
		{"verb with more behind it", "events\nnew\n", wire.ErrUnknownVerb},
		{"a refusal", "-no-port\n", wire.ErrUnknownVerb},
		{"longest verb", strings.Repeat("v", 64) + "\n", wire.ErrUnknownVerb},
		{"longest verb, CRLF", strings.Repeat("v", 64) + "\r\n", wire.ErrUnknownVerb},
		{"verb too long by one", strings.Repeat("v", 65) + "\n", wire.ErrTooLong},
		{"id too long by one", "pool\n" + strings.Repeat("i", 129) + "\n", wire.ErrTooLong},
		{"option too long by one", "+k " + strings.Repeat("v", 4096-2) + "\n", wire.ErrTooLong},
		{"an option too many", seventeen + "multiplex\n", wire.ErrTooManyOptions},
		{"option without a key", "+\nmultiplex\n", wire.ErrBadOption},
		{"option without a key, with a value", "+ v\nmultiplex\n", wire.ErrBadOption},
		{"zero byte", "\x00", wire.ErrBadByte},
		{"DEL", "multi\x7fplex\n", wire.ErrBadByte},
		{"not ASCII", "p\u00f6ol\nnew\n", wire.ErrBadByte},
		{"0xff", "\xff\xff\xff\xff\n", wire.ErrBadByte},
		{"not ASCII in an option", "+a \u00f6\nmultiplex\n", wire.ErrBadByte},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", wire.ErrBadByte},
		{"HTTP", "GET / HTTP/1.1\r\nHost: relay\r\n\r\n", wire.ErrBadByte},
		{"SSH", "SSH-2.0-OpenSSH_9.6\r\n", wire.ErrUnknownVerb},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, err := wire.ReadRequest(strings.NewReader(tt.in), verbs)
			if !errors.Is(err, tt.want) {
				t.Errorf("got %+v and error %v, want %v", req, err, tt.want)
			}
		})
	}
}

// A bad request is refused at the first byte that is wrong: an endless line must not be
// read to its end.
func TestReadRequestStopsAtOnce(t *testing.T) {
	tests := []struct {
		name, in string
		taken    int
	}{
		{"verb", strings.Repeat("v", 1000), 65},
		{"id", "pool\n" + strings.Repeat("i", 1000), 5 + 129},
		{"option", "+" + strings.Repeat("o", 10000), 4097},
		{"TLS", "\x16\x03\x01\x02\x00", 1},
		{"HTTP", "GET / HTTP/1.1\r\n", 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := strings.NewReader(tt.in)
			if _, err := wire.ReadRequest(r, verbs); err == nil {
				t.Fatal("accepted")
			}
			if taken := len(tt.in) - r.Len(); taken != tt.taken {
				t.Errorf("read %d bytes, want %d", taken, tt.taken)
			}
		})
	}
}

func TestReadRequestPassesReadErrorsOn(t *testing.T) {
	broken := errors.New("broken")
	for _, before := range []string{"", "+", "+a b\n", "pool", "pool\r", "pool\n", "pool\nA", "pool\nA\r"} {
		_, err := wire.ReadRequest(&failingReader{strings.NewReader(before), broken}, verbs)
		if !errors.Is(err, broken) {
			t.Errorf("after %q: got %v, want the reader's error", before, err)
		}
	}
}

// failingReader fails where the bytes end.
type failingReader struct {
	*strings.Reader
	err error
}

func (r *failingReader) ReadByte() (byte, error) {
	c, err := r.Reader.ReadByte()
	if err != nil {
		err = r.err
	}
	return c, err
}

func TestRequestRoundTrip(t *testing.T) {
	_, sixteen := options(16)
	tests := []struct {
		req   wire.Request
		lines string
	}{
		{wire.Request{Verb: multiplex}, "multiplex\n"},
		{wire.Request{Verb: pool}, "pool\nnew\n"},
		{wire.Request{Verb: event}, "event\nnew\n"},
		{wire.Request{Verb: pool, ID: "ABC"}, "pool\nABC\n"},
		{wire.Request{Verb: event, ID: "ABC"}, "event\nABC\n"},
		{wire.Request{Verb: event, Options: []wire.Option{{"k", "v w"}}}, "+k v w\nevent\nnew\n"},
		{wire.Request{Verb: pool, ID: "ABC", Options: sixteen}, ""},
	}
	for _, tt := range tests {
		w := &countingWriter{}
		n, err := tt.req.WriteTo(w)
		if err != nil || n != int64(w.written.Len()) {
			t.Fatalf("WriteTo(%+v) = %d, %v after %d bytes", tt.req, n, err, w.written.Len())
		}
		if lines := w.written.String(); tt.lines != "" && lines != tt.lines {
			t.Errorf("%+v is written as %q, want %q", tt.req, lines, tt.lines)
		}
		// One write is one segment, which suits middleboxes and simple relays.
		if w.writes != 1 {
			t.Errorf("%+v took %d writes, want 1", tt.req, w.writes)
		}
		got, err := wire.ReadRequest(&w.written, verbs)
		if err != nil || !reflect.DeepEqual(got, tt.req) || w.written.Len() > 0 {
			t.Errorf("%+v came back as %+v, %v, with %d bytes left", tt.req, got, err, w.written.Len())
		}
	}
}

// An option line may be as long as its limit and have no value. It must not grow when
// it is written again.
func TestRequestRoundTripOfLongestOption(t *testing.T) {
	in := "+" + strings.Repeat("k", 4095) + "\nmultiplex\n"
	req, err := wire.ReadRequest(strings.NewReader(in), verbs)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := req.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	if got, err := wire.ReadRequest(&out, verbs); err != nil || !reflect.DeepEqual(got, req) {
		t.Errorf("not readable after WriteTo: %v", err)
	}
}

// countingWriter counts the calls of Write. Like a connection it has no other method to
// write with.
type countingWriter struct {
	written bytes.Buffer
	writes  int
}

func (w *countingWriter) Write(b []byte) (int, error) {
	w.writes++
	return w.written.Write(b)
}
