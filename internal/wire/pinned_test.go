package wire_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/wire"
)

// Relays and relay clients of different versions, and those of other authors, talk to
// each other. These words can never change.
func TestPinnedWords(t *testing.T) {
	for got, want := range map[string]string{
		wire.CodeNoPort:        "no-port",
		wire.CodeDraining:      "draining",
		wire.CodeUnknownOption: "unknown-option",
	} {
		if got != want {
			t.Errorf("%q on the wire, but docs/protocol.md says %q", got, want)
		}
	}
	var lines strings.Builder
	if _, err := (wire.Request{Verb: pool}).WriteTo(&lines); err != nil || lines.String() != "pool\nnew\n" {
		t.Errorf("a registration is %q, %v", lines.String(), err)
	}
}

// The limits of docs/protocol.md, "Lines": a line at the limit is accepted, one byte
// more is not. A higher limit would break old peers, a lower one new peers.
func TestPinnedLimits(t *testing.T) {
	request := func(s string) error { _, err := wire.ReadRequest(strings.NewReader(s), verbs); return err }
	port := func(s string) error { _, err := readPort(strings.NewReader(s)); return err }
	tests := []struct {
		what  string
		limit int
		read  func(string) error
		make  func(n int) string
		over  error
	}{
		{"verb", 64, request, func(n int) string { return strings.Repeat("v", n) + "\n" }, wire.ErrTooLong},
		{"id", 128, request, func(n int) string { return "pool\n" + strings.Repeat("i", n) + "\n" }, wire.ErrTooLong},
		{"+ line", 4096, request, func(n int) string { return "+" + strings.Repeat("o", n-1) + "\nmultiplex\n" }, wire.ErrTooLong},
		{"+ lines", 16, request, func(n int) string { return strings.Repeat("+o\n", n) + "multiplex\n" }, wire.ErrTooManyOptions},
		{"- line", 4096, port, func(n int) string { return "-" + strings.Repeat("r", n-1) + "\n" }, wire.ErrTooLong},
	}
	for _, tt := range tests {
		if err := tt.read(tt.make(tt.limit)); errors.Is(err, tt.over) {
			t.Errorf("%s: %d is refused: %v", tt.what, tt.limit, err)
		}
		if err := tt.read(tt.make(tt.limit + 1)); !errors.Is(err, tt.over) {
			t.Errorf("%s: %d is not refused as %v: %v", tt.what, tt.limit+1, tt.over, err)
		}
	}
}
