package relay_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/relaytest"
)

// pauses is the handler of a log that hands on the pauses before registering again.
type pauses chan time.Duration

func (pauses) Enabled(context.Context, slog.Level) bool { return true }
func (p pauses) WithAttrs([]slog.Attr) slog.Handler     { return p }
func (p pauses) WithGroup(string) slog.Handler          { return p }

func (p pauses) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "in" {
			pause, err := time.ParseDuration(a.Value.String())
			if err != nil {
				return true
			}
			p <- pause
		}
		return true
	})
	return nil
}

// If the relay is lost again and again, and served a user each time, the listener tries
// again at once each time.
func TestLostOftenIsNotLostForLong(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		r := relaytest.Start(t)
		registered, lost := make(chan net.Addr, 100), make(pauses, 1000)
		options.OnRegister = func(public net.Addr) { registered <- public }
		options.Logger = slog.New(lost)
		serveGreeting(t, listen(t, r.Addr(), options))
		for round := range 8 {
			public := within(t, registered, "a registration")
			for len(lost) > 0 {
				<-lost // of tries that failed, while the relay was away
			}
			if err := greeted(public); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			if err := r.Restart(); err != nil {
				t.Fatal(err)
			}
			if pause := within(t, lost, "the relay to be missed"); pause > 250*time.Millisecond {
				t.Errorf("round %d: the pause before the first try is %v", round, pause)
			}
		}
	})
}

func TestBackoff(t *testing.T) {
	const shortest, longest = 250 * time.Millisecond, 30 * time.Second
	for name, c := range map[string]struct {
		held   time.Duration
		served bool
		atMost time.Duration
	}{
		"stood for some seconds":     {5 * time.Second, false, shortest},
		"served a user":              {0, true, shortest},
		"was no good":                {time.Second, false, longest},
		"stood, and served somebody": {time.Hour, true, shortest},
	} {
		t.Run(name, func(t *testing.T) {
			var longestSeen time.Duration
			for range 100 { // since each pause is drawn by lot
				b := relay.NewBackoff()
				for range 10 {
					b.Next()
				}
				b.Served(c.held, c.served)
				longestSeen = max(longestSeen, b.Next())
			}
			if longestSeen > c.atMost || longestSeen < c.atMost/10 {
				t.Errorf("the longest of 100 pauses is %v, want up to %v", longestSeen, c.atMost)
			}
		})
	}
}

// After the loss of a relay that has served, or has announced that it shuts down, the listener
// tries every second for a while, and then less often. After another refusal it does not.
func TestBackoffFromARelayThatIsBackSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		most := func(b *relay.Backoff, err error) (most time.Duration) {
			for range 100 {
				b.Failed(err)
				most = max(most, b.Next())
			}
			return most
		}
		refused := func(code string) error { return &relay.RefusedError{Code: code} }
		b := relay.NewBackoff()
		b.Served(time.Hour, true)
		if got := most(b, errLost); got > time.Second {
			t.Errorf("the longest pause is %v after a relay was lost", got)
		}
		<-time.After(61 * time.Second)
		if got := most(b, errLost); got < 10*time.Second {
			t.Errorf("the longest pause is %v when a relay has been lost for long", got)
		}
		if got := most(b, refused("draining")); got > time.Second {
			t.Errorf("the longest pause is %v while the relay shuts down", got)
		}
		b.Served(time.Hour, true)
		if got := most(b, refused("superseded")); got < 2*time.Second || got > 5*time.Second {
			t.Errorf("the longest pause is %v while another process serves the port", got)
		}
		b.Served(time.Hour, true)
		if got := most(b, refused("unauthorized")); got < 10*time.Second {
			t.Errorf("the longest pause is %v when a relay refuses for good", got)
		}
	})
}

var errLost = errors.New("the relay was lost")

func within[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}
