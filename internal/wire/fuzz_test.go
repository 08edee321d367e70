package wire_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/wire"
)

// mostRequestBytes is the length of the longest request that can be read, with CRLF.
const mostRequestBytes = 16*(4096+2) + (64 + 2) + (128 + 2)

// The verbs of the tests.
var (
	multiplex = wire.Verb{Name: "multiplex"}
	pool      = wire.Verb{Name: "pool", Claims: true}
	event     = wire.Verb{Name: "event", Claims: true}
	verbs     = []wire.Verb{multiplex, pool, event}
)

// requests are the seeds of the fuzzers of requests.
var requests = []string{
	"", "\n", "\r\n", "multiplex\n", "pool\nnew\n", "event\r\nABC\r\npayload", "pool\n\n", "+a b\nmultiplex\n",
	"+\n", "+a\npool\nnew\n", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02", strings.Repeat("+o\n", 17), "pool\rnew\n",
	strings.Repeat("v", 65), "pool\n" + strings.Repeat("i", 128) + "\r\n", "event\nnew\nevent\nnew\n",
	"+" + strings.Repeat("o", 4095) + "\nmultiplex\n", strings.Repeat("+o  v \r\n", 16) + "pool\nA\n\n", "multiplex\r",
	"+session ABC\nmultiplex\npayload", "+session\nmultiplex\n", "+session A\n+session B\nmultiplex\n", "+session A\npool\nnew\n",
}

// optionLine matches a line that may precede the verb, and baseLine a verb or an id.
var (
	optionLine = regexp.MustCompile(`^\+[!-~][ -~]*$`)
	baseLine   = regexp.MustCompile(`^[!-~]+$`)
)

// understand reads a request in the plainest way that docs/protocol.md allows: it has
// all bytes, and splits them at the line ends.
func understand(in string) (req wire.Request, size int, ok bool) {
	all := len(in)
	for {
		line, rest, ended := strings.Cut(in, "\n")
		line = strings.TrimSuffix(line, "\r")
		switch in = rest; {
		case !ended:
			return req, 0, false
		case optionLine.MatchString(line) && len(line) <= 4096 && len(req.Options) < 16 && req.Verb == (wire.Verb{}):
			key, value, _ := strings.Cut(line[1:], " ")
			req.Options = append(req.Options, wire.Option{Key: key, Value: value})
		case req.Verb == (wire.Verb{}) && (line == "pool" || line == "event"):
			req.Verb = wire.Verb{Name: line, Claims: true}
		case req.Verb == (wire.Verb{}) && line == "multiplex":
			req.Verb = multiplex
			for _, o := range req.Options {
				if o.Key == "session" {
					req.ID = o.Value
					break
				}
			}
			return req, all - len(rest), true
		case req.Verb != (wire.Verb{}) && baseLine.MatchString(line) && len(line) <= 128:
			if line != "new" {
				req.ID = line
			}
			return req, all - len(rest), true
		default:
			return req, 0, false
		}
	}
}

// ReadRequest returns what understand returns, to the byte.
func FuzzReadRequest(f *testing.F) {
	for _, seed := range requests {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		req, err := wire.ReadRequest(r, verbs)
		taken := len(in) - r.Len()
		if taken > mostRequestBytes {
			t.Fatalf("%d bytes were read", taken)
		}
		want, size, ok := understand(string(in))
		if ok != (err == nil) {
			t.Fatalf("%q: got %+v, %v; is it a request? %v", in, req, err, ok)
		}
		if !ok {
			return
		}
		if !reflect.DeepEqual(req, want) || taken != size {
			t.Fatalf("%q: got %+v in %d bytes, want %+v in %d", in, req, taken, want, size)
		}
		var again bytes.Buffer
		if _, err := req.WriteTo(&again); err != nil {
			t.Fatal(err)
		}
		got, err := wire.ReadRequest(&again, verbs)
		if err != nil || !reflect.DeepEqual(got, req) || again.Len() > 0 {
			t.Fatalf("%q: %+v came back as %+v, %v, with %d bytes left", in, req, got, err, again.Len())
		}
	})
}

// A request over TCP is the same in whatever segments it comes, and what follows it
// stays in the connection.
func FuzzReader(f *testing.F) {
	for _, seed := range requests {
		f.Add([]byte(seed), uint16(1))
		f.Add([]byte(seed), uint16(len(seed)-1))
	}
	f.Fuzz(func(t *testing.T, in []byte, segment uint16) {
		if len(in) > mostRequestBytes {
			return // more cannot be read
		}
		conn, peer := conntest.Pair(t)
		check(t, conn.SetDeadline(time.Now().Add(patience)))
		size := max(int(segment)%200+1, len(in)/32) // each segment costs two system calls and more
		feeding := &feeder{wire.NewReader(conn), peer, in, size, 0}
		req, err := wire.ReadRequest(feeding, verbs)
		want, length, ok := understand(string(in))
		if ok != (err == nil) || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%q: got %+v, %v; is it a request? %v", in, req, err, ok)
		}
		if !ok {
			return
		}
		if !reflect.DeepEqual(req, want) {
			t.Fatalf("%q: got %+v, want %+v", in, req, want)
		}
		check(t, feeding.finish())
		if rest, err := io.ReadAll(conn); string(rest) != string(in[length:]) || err != nil {
			t.Fatalf("%q: %q is left, %v; want %q", in, rest, err, in[length:])
		}
	})
}

// feeder is a Reader to which a segment is sent when all earlier ones have been read,
// so that what it sees at a time is certain.
type feeder struct {
	*wire.Reader
	peer    *transport.Conn
	in      []byte // not sent yet
	segment int    // how many bytes to send at a time
	ahead   int    // how many were sent and not read yet
}

func (f *feeder) ReadByte() (byte, error) {
	if f.ahead == 0 && len(f.in) == 0 {
		if err := f.peer.CloseWrite(); err != nil {
			return 0, err
		}
	}
	if f.ahead == 0 && len(f.in) > 0 {
		f.ahead = min(f.segment, len(f.in))
		if _, err := f.peer.Write(f.in[:f.ahead]); err != nil {
			return 0, err
		}
		f.in = f.in[f.ahead:]
	}
	f.ahead--
	return f.Reader.ReadByte()
}

// finish sends the rest, and the end.
func (f *feeder) finish() error {
	if _, err := f.peer.Write(f.in); err != nil {
		return err
	}
	return f.peer.CloseWrite()
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// An id is a line of up to 128 bytes without a space. Of any other line no more is read
// than of the longest id.
func FuzzReadID(f *testing.F) {
	for _, seed := range []string{"", "\n", "A\n", "CU7\r\nnext", "A B\n", "A\rB\n", "new\n", strings.Repeat("I", 129)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		id, err := wire.ReadID(r)
		taken := in[:len(in)-r.Len()]
		want, _, ended := strings.Cut(string(in), "\n")
		want = strings.TrimSuffix(want, "\r")
		if ok := ended && len(want) <= 128 && baseLine.MatchString(want); ok != (err == nil) {
			t.Fatalf("%q: got %q, %v", in, id, err)
		}
		if err == nil && (id != want || taken[len(taken)-1] != '\n') || len(taken) > 128+2 {
			t.Fatalf("%q: got %q of %q, want %q", in, id, taken, want)
		}
	})
}

func FuzzReadAnswer(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "80\n", "65535\r\n", "65536\n", "01\n", "0\n", "-no-port no public port is free\n", "-\n", "8 0\n",
		"HTTP/1.1 400 Bad Request\r\n", strings.Repeat("8", 4097), "+lease 300\n80\n", "+lease\n80\n", "+new thing\n+lease 1\n80\n",
		strings.Repeat("+o\n", 17), "+lease 99999999999\n", "+sessions 4\n+session ABC\n80\n", "+sessions 0\n80\n", "+session a b\n80\n",
	} {
		f.Add([]byte(seed))
	}
	printable := regexp.MustCompile(`^[ -~]*$`)
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		answer, err := wire.ReadAnswer(r)
		taken := in[:len(in)-r.Len()]
		if len(taken) > 17*(4096+2) {
			t.Fatalf("%d bytes were read", len(taken))
		}
		lines := strings.Split(strings.ReplaceAll(string(taken), "\r\n", "\n"), "\n")
		var refusal *wire.Refusal
		switch {
		case err == nil:
			var again bytes.Buffer
			if err := wire.WriteAnswer(&again, answer, ""); err != nil {
				t.Fatal(err)
			}
			if got, err := wire.ReadAnswer(&again); err != nil || got != answer || again.Len() > 0 {
				t.Fatalf("%q: %+v came back as %+v, %v", taken, answer, got, err)
			}
			if port := lines[len(lines)-2]; strconv.Itoa(answer.Port) != port {
				t.Fatalf("%q was read as %+v", taken, answer)
			}
		case errors.As(err, &refusal):
			if !strings.HasPrefix(lines[len(lines)-2], "-") || strings.ContainsAny(refusal.Code, " \n") {
				t.Fatalf("%q was read as refusal %+v", taken, refusal)
			}
		case answer.Port != 0:
			t.Fatalf("%q gave %+v and error %v", taken, answer, err)
		}
		// It appears on terminals and in logs.
		if err != nil && !printable.MatchString(err.Error()) {
			t.Fatalf("%q gave the error %q", taken, err)
		}
	})
}
