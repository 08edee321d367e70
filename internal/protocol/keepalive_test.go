package protocol_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/protocol"
)

// One loss proves nothing: relays restart, and networks change. A proxy's idle timeout
// shows in two of them in a row with about the same idle time.
func TestKeepaliveLearns(t *testing.T) {
	type loss struct {
		after time.Duration // of what came before
		idle  time.Duration
		then  error // of the next registration
	}
	const usual = 15 * time.Second
	errGone := errors.New("the relay is gone")
	for name, c := range map[string]struct {
		losses []loss
		want   time.Duration
	}{
		"none":             {nil, usual},
		"one":              {[]loss{{0, 10 * time.Second, nil}}, usual},
		"two alike":        {[]loss{{0, 10 * time.Second, nil}, {time.Minute, 11 * time.Second, nil}}, 5 * time.Second},
		"two not alike":    {[]loss{{0, 10 * time.Second, nil}, {0, 5 * time.Second, nil}}, usual},
		"far apart":        {[]loss{{0, 10 * time.Second, nil}, {2 * time.Hour, 10 * time.Second, nil}}, usual},
		"at work between":  {[]loss{{0, 10 * time.Second, nil}, {0, time.Millisecond, nil}, {0, 10 * time.Second, nil}}, usual},
		"a relay gone":     {[]loss{{0, 10 * time.Second, errGone}, {0, 10 * time.Second, errGone}}, usual},
		"gone between":     {[]loss{{0, 10 * time.Second, nil}, {0, 10 * time.Second, errGone}, {0, 10 * time.Second, nil}}, usual},
		"two, then one":    {[]loss{{0, 10 * time.Second, nil}, {0, 10 * time.Second, nil}, {0, 5 * time.Second, nil}}, 5 * time.Second},
		"two and two":      {[]loss{{0, 10 * time.Second, nil}, {0, 10 * time.Second, nil}, {0, 5 * time.Second, nil}, {0, 5 * time.Second, nil}}, 2500 * time.Millisecond},
		"the shortest":     {[]loss{{0, 2 * time.Second, nil}, {0, 2 * time.Second, nil}}, 2 * time.Second},
		"longer than ours": {[]loss{{0, time.Minute, nil}, {0, time.Minute, nil}}, usual},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var keepalive protocol.Keepalive
				keepalive.Registered(nil)
				for _, l := range c.losses {
					<-time.After(l.after)
					keepalive.Lost(l.idle)
					keepalive.Registered(l.then)
				}
				if got := keepalive.Interval(); got != c.want {
					t.Errorf("the interval is %v, want %v", got, c.want)
				}
			})
		})
	}
}
