package relay_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/relaytest"
)

// logger is a handler that panics at a message, once, and keeps the others.
type logger struct {
	slog.Handler // for what is not asked for here
	at           string

	mu       sync.Mutex // guards what follows
	panicked bool
	records  []slog.Record
	came     chan struct{} // closed with the first error
	awaited  string        // a message
	said     chan struct{} // closed with the first one
}

func newLogger(at string) *logger {
	return &logger{Handler: slog.DiscardHandler, at: at, came: make(chan struct{})}
}

func (*logger) Enabled(context.Context, slog.Level) bool { return true }

func (l *logger) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.panicked && r.Message == l.at {
		l.panicked = true
		panic("in the logger")
	}
	l.records = append(l.records, r)
	if l.said != nil && r.Message == l.awaited {
		close(l.said)
		l.said = nil
	}
	if r.Level >= slog.LevelError && len(l.errors()) == 1 {
		close(l.came)
	}
	return nil
}

// when returns a channel that is closed when message is logged.
func (l *logger) when(message string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	said := make(chan struct{})
	l.awaited, l.said = message, said
	return said
}

// errors is called with mu held.
func (l *logger) errors() (texts []string) {
	for _, r := range l.records {
		if r.Level >= slog.LevelError {
			text := r.Message
			r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
			texts = append(texts, text)
		}
	}
	return texts
}

// forward runs a forwarder until the test ends, and returns its public address.
func forward(t *testing.T, relayAddr, local string, options *relay.Options) net.Addr {
	t.Helper()
	public := make(chan net.Addr, 1)
	full := *options
	full.Drain = -1
	full.OnRegister = func(addr net.Addr) { public <- addr }
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- relay.Forward(ctx, relayAddr, local, &full) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Forward: %v", err)
		}
	})
	select {
	case addr := <-public:
		return addr
	case <-time.After(patience):
		t.Fatal("the forwarder does not register")
		return nil
	}
}

// A panic in the code for one user is logged once, with its stack, and all other users go
// on.
func TestForwardGoesOnAfterAPanic(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		local, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		serveGreeting(t, local)
		log := newLogger("user done")
		options.Logger = slog.New(log)
		public := forward(t, relaytest.Start(t).Addr(), local.Addr().String(), options)
		for range 3 {
			if err := greeted(public); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case <-log.came:
		case <-time.After(patience):
			t.Fatal("no panic was logged")
		}
		log.mu.Lock()
		defer log.mu.Unlock()
		errs := log.errors()
		if len(errs) != 1 || !strings.Contains(errs[0], "in the logger") || !strings.Contains(errs[0], "forward_test.go") {
			t.Errorf("logged %q, want one panic with its stack", errs)
		}
	})
}

// So is a panic during the wait for a local server that cannot be reached.
func TestForwardGoesOnAfterAPanicWhileConnecting(t *testing.T) {
	log := newLogger("the local server cannot be reached; users are reset")
	// The lookup of a name is waited for.
	const nowhere = "nowhere.invalid:80"
	public := forward(t, relaytest.Start(t).Addr(), nowhere, &relay.Options{Protocol: relay.Event, Logger: slog.New(log)})
	for range 3 {
		user, err := net.Dial("tcp", public.String())
		if err != nil {
			t.Fatal(err)
		}
		_ = user.SetDeadline(time.Now().Add(patience))
		if _, err := io.ReadAll(user); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a user sees %v, want a reset", err)
		}
		_ = user.Close()
	}
	select {
	case <-log.came:
	case <-time.After(patience):
		t.Error("no panic was logged")
	}
}
