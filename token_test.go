package relay_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/wire"
)

// refusing runs a relay that refuses everybody, and hands on the tokens that are shown.
func refusing(t *testing.T, refusal string) (addr string, tokens <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	shown, ended := make(chan string, 100), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(patience))
			req, err := wire.ReadRequest(wire.NewReader(conn), []wire.Verb{{Name: "multiplex"}})
			if err != nil {
				t.Error(err)
			}
			said, err := wire.ParsePreamble(req.Options)
			if err != nil {
				t.Error(err)
			}
			shown <- said.Token // before the answer, after which the test looks for it
			_, _ = io.WriteString(conn, refusal+"\n")
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
	})
	return l.Addr().String(), shown
}

// A new token is shown at the next registration. While there is none that can be shown,
// the previous one is.
func TestTokenSource(t *testing.T) {
	addr, shown := refusing(t, "-no-port there is none") // which may pass, so that it tries again soon
	var logged syncBuffer
	given := make(chan string, 5)
	for _, token := range []string{"", "one", "", "not one\n", "two"} {
		given <- token
	}
	options := &relay.Options{
		Token:  "zero",
		Logger: slog.New(slog.NewJSONHandler(&logged, nil)),
		TokenSource: func() (string, error) {
			select {
			case token := <-given:
				if token != "" {
					return token, nil
				}
			default:
			}
			return "", errors.New("the file is gone")
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- relay.Forward(ctx, addr, "127.0.0.1:1", options) }()
	for i, want := range []string{"zero", "one", "one", "one", "two"} {
		select {
		case got := <-shown:
			if got != want {
				t.Errorf("registration %d shows %q, want %q", i, got, want)
			}
		case <-time.After(patience):
			t.Fatalf("there is no registration %d", i)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Forward: %v", err)
	}
	log := logged.String()
	if !strings.Contains(log, "the previous one is shown") || !strings.Contains(log, "the file is gone") {
		t.Errorf("the log does not tell of the file:\n%s", log)
	}
	if strings.Contains(log, "not one") {
		t.Errorf("the log has a token:\n%s", log)
	}
}

// Without any token there is nothing to show.
func TestTokenSourceFails(t *testing.T) {
	addr, shown := refusing(t, "-unauthorized no")
	options := &relay.Options{TokenSource: func() (string, error) { return "", errors.New("no file") }}
	_, err := relay.Listen(t.Context(), addr, options)
	if err == nil || !strings.Contains(err.Error(), "no file") {
		t.Errorf("got %v, want what the source says", err)
	}
	if len(shown) > 0 {
		t.Error("it has registered without a token")
	}
}
