package server_test

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/server"
)

// sink keeps events.
type sink struct {
	mu     sync.Mutex // guards what follows
	events []observe.Event
	more   chan struct{} // closed at the next event
}

func newSink() *sink { return &sink{more: make(chan struct{})} }

func (s *sink) Observe(e observe.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
	close(s.more)
	s.more = make(chan struct{})
}

// all returns the events of a name, once there are n.
func (s *sink) all(t *testing.T, name observe.Name, n int) (found []observe.Event) {
	t.Helper()
	timeout := time.After(patience)
	for {
		found = nil
		s.mu.Lock()
		for _, e := range s.events {
			if e.Name == name {
				found = append(found, e)
			}
		}
		more := s.more
		s.mu.Unlock()
		if len(found) >= n {
			return found
		}
		select {
		case <-more:
		case <-timeout:
			t.Fatalf("there are %d events %s, want %d", len(found), name, n)
		}
	}
}

// beReset has a user come who is reset, perhaps while it connects.
func beReset(t *testing.T, tunnel *fakeTunnel) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(loopback, strconv.Itoa(tunnel.port)), patience)
	if err == nil {
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience)) // fails as the read does
		_, err = io.ReadAll(conn)
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

// Sinks get what the log leaves out, by its level or because of its budgets.
func TestSinksGetEverything(t *testing.T) {
	const users = 5
	sinks := []*sink{newSink(), newSink()}
	r := start(t, func(c *server.Config) {
		c.Logger = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError}))
		c.Limits = admission.Limits{LogLines: 1, Users: 1}
		c.Sinks = []observe.Sink{sinks[0], sinks[1]}
	})
	tunnel, _ := r.register()
	u, client := r.join(tunnel)
	for range users {
		beReset(t, tunnel)
	}
	_ = u.Close()
	_ = client.Close()
	for _, s := range sinks {
		for _, e := range s.all(t, observe.UserReset, users) {
			if e.Limit != "users" || e.Tunnel.Port != tunnel.port {
				t.Errorf("got %+v", e)
			}
		}
		s.all(t, observe.TunnelOpened, 1)
		s.all(t, observe.UserJoined, 1)
		s.all(t, observe.UserDone, 1)
	}
}
