package relay_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/seed96252745/relay"
)

// A refusal that does not pass by itself, of what was never granted, ends Forward. No other
// refusal does.
func TestForwardRefused(t *testing.T) {
	for _, tt := range []struct {
		code       string
		keepTrying bool
		ends       bool
	}{
		{"unauthorized", false, true},
		{"expired", false, true},
		{"forbidden", false, true},
		{"port-taken", false, true},
		{"name-taken", false, true},
		{"unknown-option", false, true},
		{"bad-option", false, true},
		{"unauthorized", true, false},
		{"port-taken", true, false},
		{"no-port", false, false},
		{"draining", false, false},
		{"limit", false, false},
		{"superseded", false, false},
		{"one-to-come", false, false},
	} {
		name := tt.code
		if tt.keepTrying {
			name += ", but it keeps trying"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr, shown := refusing(t, "-"+tt.code+" no")
			log := newLogger("")
			tries := log.when("not registered at the relay; trying again")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() {
				ended <- relay.Forward(ctx, addr, "127.0.0.1:1", &relay.Options{KeepTrying: tt.keepTrying, Logger: slog.New(log)})
			}()
			select {
			case err := <-ended:
				var refused *relay.RefusedError
				if !errors.As(err, &refused) || refused.Code != tt.code || !tt.ends {
					t.Errorf("Forward: %v", err)
				}
				if n := len(shown); n != 1 {
					t.Errorf("it has registered %d times", n)
				}
				return
			case <-tries:
			case <-time.After(patience):
				t.Fatal("it neither ends nor says that it tries again")
			}
			if tt.ends {
				t.Error("it tries again")
			}
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Forward: %v", err)
			}
		})
	}
}
