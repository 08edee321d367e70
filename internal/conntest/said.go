package conntest

import (
	"io"
	"syscall"
	"testing"

	"github.com/seed96252745/relay/internal/sockerr"
)

// text is bytes to write or to expect.
type text interface{ ~string | ~[]byte }

// Write writes all of what.
func Write[T text](tb testing.TB, to io.Writer, what T) {
	tb.Helper()
	if n, err := to.Write([]byte(what)); err != nil || n != len(what) {
		tb.Fatalf("wrote %d of %d bytes: %v", n, len(what), err)
	}
}

// Read reads n bytes.
func Read(tb testing.TB, from io.Reader, n int) []byte {
	tb.Helper()
	b := make([]byte, n)
	if got, err := io.ReadFull(from, b); err != nil {
		tb.Fatalf("read %d of %d bytes: %v", got, n, err)
	}
	return b
}

// readable is how many bytes a failure shows at most.
const readable = 200

// WantRead reads as many bytes as want has, and fails unless they are those.
func WantRead[T text](tb testing.TB, from io.Reader, want T) {
	tb.Helper()
	switch got := Read(tb, from, len(want)); {
	case string(got) == string(want):
	case len(want) > readable:
		tb.Fatalf("%d bytes came, but not those that were sent", len(want))
	default:
		tb.Fatalf("got %q, want %q", got, want)
	}
}

// WantPair writes to each end, and fails unless the same bytes come out at the other.
func WantPair(tb testing.TB, one, other io.ReadWriter) {
	tb.Helper()
	for range 2 {
		Write(tb, one, "from one to the other")
		WantRead(tb, other, "from one to the other")
		one, other = other, one
	}
}

// WantReset fails unless the connection is reset, without a byte before that.
func WantReset(tb testing.TB, conn io.Reader) {
	tb.Helper()
	if got, err := io.ReadAll(conn); !sockerr.Is(err, syscall.ECONNRESET) || len(got) > 0 {
		tb.Errorf("got %q, %v (nil is EOF); want a reset and no byte", got, err)
	}
}
