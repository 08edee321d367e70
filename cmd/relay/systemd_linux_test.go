package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// managerSocket listens as systemd does, and returns what comes.
func managerSocket(t *testing.T) (messages <-chan string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", path)
	got, ended := make(chan string, 100), make(chan struct{})
	go func() {
		defer close(ended)
		for b := make([]byte, 4096); ; {
			n, err := socket.Read(b)
			if err != nil {
				return
			}
			got <- string(b[:n])
		}
	}()
	t.Cleanup(func() { _ = socket.Close(); <-ended })
	return got
}

// next returns the next message.
func next(t *testing.T, messages <-chan string) string {
	t.Helper()
	select {
	case m := <-messages:
		return m
	case <-time.After(time.Minute):
		t.Fatal("waited in vain for a message")
		return ""
	}
}

func TestManagerIsTold(t *testing.T) {
	messages := managerSocket(t)
	m := manager{log: slog.New(slog.DiscardHandler), gone: new(atomic.Bool)}
	m.ready("relay at :8080")
	if got := next(t, messages); got != "READY=1\nSTATUS=relay at :8080" {
		t.Errorf("ready is %q", got)
	}
	m.reloading(func() string { return "a fault\nMAINPID=1" })
	if got := next(t, messages); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") || strings.Count(got, "\n") != 1 {
		t.Errorf("reloading is %q", got)
	}
	if got := next(t, messages); got != "READY=1\nSTATUS=a fault" {
		t.Errorf("ready again is %q", got)
	}
	m.stopping("it ends")
	if got := next(t, messages); got != "STOPPING=1\nSTATUS=it ends" {
		t.Errorf("stopping is %q", got)
	}
}

// The watchdog is told only while the process works.
func TestWatchdog(t *testing.T) {
	messages := managerSocket(t)
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", "")
	_ = os.Unsetenv("WATCHDOG_PID") // any process is meant
	m := manager{log: slog.New(slog.DiscardHandler), gone: new(atomic.Bool)}
	looks, answer := make(chan struct{}), make(chan error)
	stop := m.watch(func(context.Context) error {
		looks <- struct{}{}
		return <-answer
	})
	<-looks
	answer <- nil
	if got := next(t, messages); got != "WATCHDOG=1" {
		t.Errorf("a process that works: %q", got)
	}
	for range 3 {
		<-looks
		answer <- errHangs
	}
	<-looks
	select {
	case got := <-messages:
		t.Errorf("a process that hangs: %q", got)
	default:
	}
	answer <- nil
	if got := next(t, messages); got != "WATCHDOG=1" {
		t.Errorf("a process that works again: %q", got)
	}
	ended := make(chan struct{})
	go func() { stop(); close(ended) }()
	for {
		select {
		case <-looks:
			answer <- nil
			continue
		case <-ended:
		}
		break
	}
}

// A look that hangs is not begun twice, and the process works again once it is over.
func TestLookout(t *testing.T) {
	begun, release := 0, make(chan struct{})
	l := lookout{look: func(context.Context) error { begun++; <-release; return nil }}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		if err := l.works(over); !errors.Is(err, errHangs) {
			t.Fatalf("a look that hangs: %v", err)
		}
	}
	close(release)
	if err := l.works(t.Context()); err != nil || begun != 1 {
		t.Errorf("in the end: %v, after %d looks", err, begun)
	}
}

func TestNoManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "")
	m := manager{log: slog.New(slog.DiscardHandler), gone: new(atomic.Bool)}
	m.ready("nobody hears")
	m.watch(func(context.Context) error { t.Error("it is looked at"); return nil })()
}
