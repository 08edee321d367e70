package wire_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/wire"
)

// mostRequestBytes is the longest request that can be read, with CRLF.
const mostRequestBytes = 16*(4096+2) + (64 + 2) + (128 + 2)

func FuzzReadRequest(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "\r\n", "multiplex\n", "pool\nnew\n", "event\r\nABC\r\npayload", "pool\n\n", "+a b\nmultiplex\n",
		"+\n", "+a\npool\nnew\n", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02", strings.Repeat("+o\n", 17), "pool\rnew\n",
		strings.Repeat("v", 65),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		req, err := wire.ReadRequest(r)
		taken := in[:len(in)-r.Len()]
		if len(taken) > mostRequestBytes {
			t.Fatalf("%d bytes were read", len(taken))
		}
		if err != nil {
			return
		}
		lines := len(req.Options) + 2
		if req.Verb == wire.Multiplex {
			lines--
		}
		if bytes.Count(taken, []byte("\n")) != lines || taken[len(taken)-1] != '\n' {
			t.Fatalf("%q was read for %+v, which has %d lines", taken, req, lines)
		}
		var again bytes.Buffer
		if _, err := req.WriteTo(&again); err != nil {
			t.Fatal(err)
		}
		got, err := wire.ReadRequest(&again)
		if err != nil || !reflect.DeepEqual(got, req) || again.Len() > 0 {
			t.Fatalf("%q: %+v came back as %+v, %v, with %d bytes left", in, req, got, err, again.Len())
		}
	})
}

func FuzzReadPort(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "80\n", "65535\r\n", "65536\n", "01\n", "0\n", "-no-port no public port is free\n", "-\n", "8 0\n",
		"HTTP/1.1 400 Bad Request\r\n", strings.Repeat("8", 4097),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		port, err := wire.ReadPort(r)
		taken := in[:len(in)-r.Len()]
		if len(taken) > 4096+2 {
			t.Fatalf("%d bytes were read", len(taken))
		}
		var refusal *wire.Refusal
		switch {
		case err == nil:
			var again bytes.Buffer
			if err := wire.WriteReply(&again, port, ""); err != nil {
				t.Fatal(err)
			}
			if want := strings.Replace(string(taken), "\r\n", "\n", 1); again.String() != want {
				t.Fatalf("%q was read as port %d", taken, port)
			}
		case errors.As(err, &refusal):
			if taken[0] != '-' || strings.ContainsAny(refusal.Code, " \n") {
				t.Fatalf("%q was read as refusal %+v", taken, refusal)
			}
		case port != 0:
			t.Fatalf("%q gave port %d and error %v", taken, port, err)
		}
	})
}
