package wire_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/wire"
)

// readPort reads an answer, and returns only its port.
func readPort(r io.ByteReader) (int, error) {
	answer, err := wire.ReadAnswer(r)
	return answer.Port, err
}

func TestReadAnswer(t *testing.T) {
	for in, want := range map[string]int{
		"1\n": 1, "80\n": 80, "20001\n": 20001, "65535\n": 65535, "20001\r\n": 20001,
	} {
		r := strings.NewReader(in + "payload")
		if got, err := readPort(r); err != nil || got != want {
			t.Errorf("%q: got %d, %v; want %d", in, got, err, want)
		}
		if rest, _ := io.ReadAll(r); string(rest) != "payload" {
			t.Errorf("%q: left %q", in, rest)
		}
	}
}

// The words of docs/protocol.md, "Several sessions".
func TestAnswerHasSessions(t *testing.T) {
	want := wire.Answer{Port: 20001, Sessions: 3, Session: "CU7"}
	const lines = "+sessions 3\n+session CU7\n20001\n"
	var written strings.Builder
	if err := wire.WriteAnswer(&written, want, ""); err != nil || written.String() != lines {
		t.Errorf("written as %q, %v", written.String(), err)
	}
	if got, err := wire.ReadAnswer(strings.NewReader(lines)); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, line := range []string{"sessions", "sessions 0", "sessions x", "session", "session a b", "session " + strings.Repeat("i", 129)} {
		if got, err := wire.ReadAnswer(strings.NewReader("+" + line + "\n80\n")); !errors.As(err, new(*wire.OptionError)) {
			t.Errorf("%q: got %+v, %v; want an OptionError", line, got, err)
		}
	}
}

func TestReadAnswerRefusal(t *testing.T) {
	longest := strings.Repeat("t", 4096-3)
	tests := []struct {
		in      string
		want    wire.Refusal
		message string
	}{
		{"-no-port no public port is free\n", wire.Refusal{Code: "no-port", Text: "no public port is free"},
			"refused by the relay: no public port is free (no-port)"},
		{"-draining soon again\r\n", wire.Refusal{Code: "draining", Text: "soon again"},
			"refused by the relay: soon again (draining)"},
		{"-busy\n", wire.Refusal{Code: "busy"}, "refused by the relay: busy"},
		{"-a  b\n", wire.Refusal{Code: "a", Text: " b"}, "refused by the relay:  b (a)"},
		{"-c " + longest + "\n", wire.Refusal{Code: "c", Text: longest}, "refused by the relay: " + longest + " (c)"},
	}
	for _, tt := range tests {
		port, err := readPort(strings.NewReader(tt.in))
		var refusal *wire.Refusal
		if !errors.As(err, &refusal) || *refusal != tt.want {
			t.Errorf("%.40q: got %d, %v; want a refusal %+v", tt.in, port, err, tt.want)
			continue
		}
		if refusal.Error() != tt.message {
			t.Errorf("%.40q reads %q, want %q", tt.in, refusal, tt.message)
		}
	}
}

// The answer of a program that is not a relay must not be taken for a port or for a
// refusal, and must not fill a log.
func TestReadAnswerGarbage(t *testing.T) {
	for _, line := range []string{
		"0", "00", "01", "020001", "65536", "4294967297", "99999999999999999999999", "8_0", "0x50", "80 ", " 80",
		"", "eighty", "1e3", "HTTP/1.1 400 Bad Request", "SSH-2.0-OpenSSH_9.6",
		"-ERR unknown command '+token'", "-NOAUTH Authentication required.", "-", "- no code", "-1", "-no_port", "-Limit", strings.Repeat("9", 4096),
	} {
		port, err := readPort(strings.NewReader(line + "\n"))
		var refusal *wire.Refusal
		if err == nil || errors.As(err, &refusal) {
			t.Errorf("%.40q: got %d, %v; want an error that is not a refusal", line, port, err)
			continue
		}
		if !strings.Contains(err.Error(), "not a relay") || len(err.Error()) > 200 {
			t.Errorf("%.40q returns the message %q", line, err)
		}
	}
	for in, want := range map[string]error{
		"":                                   io.ErrUnexpectedEOF,
		"8":                                  io.ErrUnexpectedEOF,
		"80\r":                               io.ErrUnexpectedEOF,
		"-no":                                io.ErrUnexpectedEOF,
		"8\r0\n":                             wire.ErrBadByte,
		"8\t\n":                              wire.ErrBadByte,
		"\x16\x03\x01":                       wire.ErrBadByte,
		strings.Repeat("8", 4097) + "\n":     wire.ErrTooLong,
		"-" + strings.Repeat("8", 4096):      wire.ErrTooLong,
		"-" + strings.Repeat("t ", 10<<20/2): wire.ErrTooLong,
	} {
		if port, err := readPort(strings.NewReader(in)); !errors.Is(err, want) {
			t.Errorf("%.40q: got %d, %v; want %v", in, port, err, want)
		}
	}
}

// A peer that echoes what it receives brings no secrets into errors, and no parts of
// them. The rest of its answer is shown.
func TestRedact(t *testing.T) {
	const token, lease = "relay_PFROSMABCDEFGHIJKLMNOPQRSTUV", "LEASEKEYLEASEKEY234567ABCD"
	req := wire.Request{Options: []wire.Option{{Key: "token", Value: token}, {Key: "name", Value: "db1"}, {Key: "lease", Value: lease}}}
	for in, want := range map[string]string{
		"-ERR unknown command '+token', beginning with: '" + token + "'": "'+token'",
		"-ERR '" + token + "'":                            "'***'",
		"-ERR '" + token[:9] + "...' '" + lease[3:] + "'": "'***...' '***'",
		"+OK\n" + token + lease:                           `"******"`,
		"-refused db1 by " + token[5:] + " of db1":        "db1 by *** of db1 (refused)",
		"-no-port " + token[:7]:                           token[:7] + " (no-port)",
		"-no-port all are taken":                          "all are taken (no-port)",
	} {
		_, err := readPort(strings.NewReader(in + "\n"))
		got := req.Redact(err).Error()
		if !strings.Contains(got, want) {
			t.Errorf("%q returns %q, want %q in it", in, got, want)
		}
		for i := range len(token) - 8 {
			if strings.Contains(got, token[i:i+8]) {
				t.Errorf("%q returns %q, with a secret", in, got)
			}
		}
	}
	if err := req.Redact(io.ErrUnexpectedEOF); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("another error becomes %v", err)
	}
}

func TestReadID(t *testing.T) {
	longest := strings.Repeat("I", 128)
	for in, want := range map[string]string{
		"A\n": "A", "CU7\r\n": "CU7", "!~\n": "!~", "new\n": "new", longest + "\n": longest,
	} {
		r := strings.NewReader(in + "payload")
		if got, err := wire.ReadID(r); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, want)
		}
		if rest, _ := io.ReadAll(r); string(rest) != "payload" {
			t.Errorf("%q: left %q", in, rest)
		}
	}
	for in, want := range map[string]error{
		"": io.EOF, "A": io.ErrUnexpectedEOF, "A\r": io.ErrUnexpectedEOF, "\n": wire.ErrNoID, "\r\n": wire.ErrNoID,
		"A B\n": wire.ErrBadByte, "A\rB\n": wire.ErrBadByte, "A\x00\n": wire.ErrBadByte, "\x7f\n": wire.ErrBadByte,
		longest + "I\n": wire.ErrTooLong,
	} {
		if id, err := wire.ReadID(strings.NewReader(in)); !errors.Is(err, want) || id != "" {
			t.Errorf("%.40q: got %q, %v; want %v", in, id, err, want)
		}
	}
}

func TestWriteAnswer(t *testing.T) {
	for _, tt := range []struct {
		id, want string
	}{{"", "20001\n"}, {"CU7", "20001\nCU7\n"}} {
		var out countingWriter
		if err := wire.WriteAnswer(&out, wire.Answer{Port: 20001}, tt.id); err != nil {
			t.Fatal(err)
		}
		if got := out.written.String(); got != tt.want || out.writes != 1 {
			t.Errorf("with id %q: wrote %q in %d writes, want %q in one", tt.id, got, out.writes, tt.want)
		}
	}
}

func TestWriteRefusal(t *testing.T) {
	want := &wire.Refusal{Code: wire.CodeUnknownOption, Text: "some key"}
	var out bytes.Buffer
	if err := wire.WriteRefusal(&out, want); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "-unknown-option some key\n" {
		t.Errorf("wrote %q", got)
	}
	var got *wire.Refusal
	if _, err := readPort(&out); !errors.As(err, &got) || *got != *want {
		t.Errorf("read back as %v, want %v", err, want)
	}
}
