package node_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/transport"
)

// The log says what a relay client was missing, and the relay client only what this
// relay wants.
func TestUnauthorizedIsLogged(t *testing.T) {
	certificates := &tls.Config{ClientCAs: x509.NewCertPool()}
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := auth.Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer tokens.Close()
	for name, tt := range map[string]struct {
		config node.Config
		lines  string
		logged string
	}{
		"no certificate":           {node.Config{TLS: certificates}, "event\nnew\n", "it has shown no certificate, and there are no tokens here"},
		"a token for nothing":      {node.Config{TLS: certificates}, "+token wrong\nevent\nnew\n", "it has shown no certificate, and there are no tokens here"},
		"no token":                 {node.Config{Tokens: tokens}, "event\nnew\n", "it has shown no token"},
		"neither, and either will": {node.Config{Tokens: tokens, TLS: certificates}, "event\nnew\n", "it has shown no token"},
		"a wrong token":            {node.Config{Tokens: tokens}, "+token wrong\nevent\nnew\n", "it has shown a token that is not in the file"},
	} {
		t.Run(name, func(t *testing.T) {
			answer, log := refused(t, tt.config, tt.lines)
			if !strings.HasPrefix(answer, "-unauthorized ") || strings.Contains(answer, "shown") {
				t.Errorf("the answer is %q", answer)
			}
			if !strings.Contains(log, "the relay does not know who this is: "+tt.logged+`"`) {
				t.Errorf("the log is\n%swant %q", log, tt.logged)
			}
		})
	}
}

// refused gives what a relay answers to lines, and logs.
func refused(t *testing.T, c node.Config, lines string) (answer, log string) {
	t.Helper()
	var logged bytes.Buffer
	c.Logger = slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c.Ports = port.Range{First: 20000, Last: 29999}
	s, err := node.Relay(c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := transport.ListenRelayClients("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, lines); err != nil {
		t.Error(err)
	}
	said, err := io.ReadAll(conn)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) { // as claims are answered
		t.Error(err)
	}
	s.Close() // after which nothing is logged
	<-served
	return string(said), logged.String()
}
