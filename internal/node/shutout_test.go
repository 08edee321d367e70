package node_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"

	client "github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/transport"
)

// fromOutside has all relay clients seem to come from 192.0.2.1: loopback is never shut
// out.
type fromOutside struct{ conn.Listener }

func (l fromOutside) Accept() (conn.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		port := conn.RemoteAddr().(*net.TCPAddr).Port
		conn.(interface{ SetRemoteAddr(*net.TCPAddr) }).SetRemoteAddr(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: port})
	}
	return conn, err
}

// shutOutRelay starts a relay, and gives what has it shut out its relay clients: for 1 s
// at first, and for twice as long each time.
func shutOutRelay(t *testing.T) (addr string, shutOut func()) {
	t.Helper()
	s, err := node.Relay(node.Config{
		Bind: "127.0.0.1", Ports: port.Range{First: 20000, Last: 29999}, Limits: admission.Limits{WrongClaims: 1},
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
	return l.Addr().String(), func() {
		for times := s.State().Counters.Of(admission.SourcesShutOut); s.State().Counters.Of(admission.SourcesShutOut) == times; {
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				continue // it is reset at once
			}
			_, _ = io.WriteString(conn, "event\nAAAAAAAAAAAAAAAAAAAAAAAAAA\n")
			_, _ = io.ReadAll(conn) // it is reset
			_ = conn.Close()
		}
	}
}

// A forwarder behind an address that guesses is told why it is not let in. Which of its
// tries is told is chance, as one connection a second is: it may be let in before.
func TestForwarderIsShutOut(t *testing.T) {
	addr, shutOut := shutOutRelay(t)
	shutOut()
	told := &watchedLog{wanted: []string{"(shut-out)", "msg=registered"}}
	for range 6 { // for 2 s at first, and 64 s at last
		shutOut()
		ctx, cancel := context.WithCancel(t.Context())
		told.found = cancel
		_ = client.Forward(ctx, addr, "127.0.0.1:9", &client.Options{Logger: slog.New(slog.NewTextHandler(told, nil))})
		cancel()
		if strings.Contains(told.text, "your address is shut out for ") {
			return
		}
	}
	t.Errorf("the log is\n%s", told.text)
}

// watchedLog calls found when a line has one of what is looked for.
type watchedLog struct {
	wanted []string
	found  func()
	text   string
}

func (w *watchedLog) Write(p []byte) (int, error) {
	w.text += string(p)
	if slices.ContainsFunc(w.wanted, func(s string) bool { return strings.Contains(string(p), s) }) {
		w.found()
	}
	return len(p), nil
}
