package assemble_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	client "github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/assemble"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/limit"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/transport"
)

// fromOutside has all relay clients seem to come from 192.0.2.1: loopback is never shut
// out.
type fromOutside struct{ *transport.Listener }

func (l fromOutside) Accept() (join.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		port := conn.RemoteAddr().(*net.TCPAddr).Port
		conn.(interface{ SetRemoteAddr(*net.TCPAddr) }).SetRemoteAddr(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: port})
	}
	return conn, err
}

// shutOutRelay starts a relay that has shut out its relay clients, for a while.
func shutOutRelay(t *testing.T) (addr string) {
	t.Helper()
	s, err := assemble.Relay(assemble.Config{
		Bind: "127.0.0.1", Ports: port.Range{First: 20000, Last: 29999}, Limits: limit.Limits{WrongClaims: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := transport.ListenRelayClients("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(fromOutside{l}) }()
	t.Cleanup(func() { s.Close(); <-served })
	const times = 3 // for 1 s, 2 s, and then 4 s
	for s.State().Counters.Of(limit.SourcesShutOut) < times {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			continue // it is reset at once
		}
		_, _ = io.WriteString(conn, "event\nAAAAAAAAAAAAAAAAAAAAAAAAAA\n")
		_, _ = io.ReadAll(conn) // it is reset
		_ = conn.Close()
	}
	return l.Addr().String()
}

// A forwarder behind an address that guesses is told why it is not let in.
func TestForwarderIsShutOut(t *testing.T) {
	addr := shutOutRelay(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	told := &watchedLog{wanted: "(shut-out)", found: cancel}
	_ = client.Forward(ctx, addr, "127.0.0.1:9", &client.Options{Logger: slog.New(slog.NewTextHandler(told, nil))})
	if !strings.Contains(told.text, "your address is shut out for ") {
		t.Errorf("the log is\n%s", told.text)
	}
}

// watchedLog calls found when it has what is looked for.
type watchedLog struct {
	wanted string
	found  func()
	text   string
}

func (w *watchedLog) Write(p []byte) (int, error) {
	if w.text += string(p); strings.Contains(w.text, w.wanted) {
		w.found()
	}
	return len(p), nil
}
