package server_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/server"
)

// knowing has a relay know the token "good". It forgives 50 wrong ids, and one a minute
// after that.
func knowing(c *server.Config) {
	known(auth.Identity{Name: "good"})(c)
	c.Limits.WrongClaims = 1
	c.Limits.RefusalDelay = 32 * time.Millisecond
	use(c, "pool", brokenProtocol{})
}

// forgiven is how much knowing forgives at the start.
const forgiven = 50

// Forwarders that show an old token keep out no others behind their address, and are told
// each time what is wrong.
func TestWrongTokens(t *testing.T) {
	for name, lines := range map[string]string{
		"registrations": "+token old\nevent\nnew\n", "claims": "+token old\npool\nTHEID\n", "none": "multiplex\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, knowing)
			var all sync.WaitGroup
			const forwarders = 6
			for range forwarders {
				all.Go(func() {
					for range 3 * forgiven / forwarders {
						conn := r.request(lines)
						if strings.Contains(lines, "THEID") {
							conntest.WantReset(t, conn)
						} else if got, err := io.ReadAll(conn); string(got) != "-unauthorized who is this\n" || err != nil {
							t.Errorf("a wrong token is answered by %q, %v", got, err)
						}
					}
				})
			}
			all.Wait()
			conntest.Read(t, r.request("+token good\nevent\nnew\n"), 1)
			(<-r.fake.tunnels).end()
			r.wantCounted(admission.WrongTokens, 3*forgiven)
		})
	}
}

// Relay clients whose refusal is delayed are in nobody's way.
func TestWrongTokensWaitAside(t *testing.T) {
	r := start(t, knowing, func(c *server.Config) {
		c.Limits.Handshakes, c.Limits.HandshakesPerSource = 1, 1
		c.Limits.RefusalDelay = time.Hour
	})
	r.refusal("+token old\nevent\nnew\n") // at once, the first time
	waits := r.request("+token old\nevent\nnew\n")
	r.wantSoon("answers that wait", 1, func() int64 { return int64(r.State().Stalled) })
	conntest.Read(t, r.request("+token good\nevent\nnew\n"), 1)
	(<-r.fake.tunnels).end()
	r.Close() // waits for nobody
	if _, err := io.ReadAll(waits); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a delayed connection is still open after Close")
	}
}

// A source of different wrong tokens guesses, and is banned.
func TestGuessedTokens(t *testing.T) {
	r := start(t, knowing)
	for i := range 10*forgiven + 1 {
		if got := r.refusal(fmt.Sprintf("+token guess%d\nevent\nnew\n", i)); got != "-unauthorized who is this" {
			t.Fatalf("guess %d is answered by %q", i, got)
		}
	}
	r.wantCounted(admission.SourcesShutOut, 1)
}

// A banned source is told so, within bounds, at a registration. A claim of it gets no byte,
// and is not looked at. The log has the ban, too, when the budget of other lines about that
// address is used up, be it by refusals or by connections that send nothing.
func TestShutOutIsTold(t *testing.T) {
	var log lockedBuffer
	const lines, silent = 3, 2
	r := start(t, knowing, func(c *server.Config) {
		c.Limits.LogLines = lines
		c.Limits.HandshakesPerSource = silent
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	for range silent + lines {
		dialFrom(t, "127.0.0.2", r.addr) // sends nothing, and one too many has another one reset
	}
	r.wantCounted(admission.HandshakesPerSource, lines)
	for range forgiven + 1 {
		r.guess("+token good\npool\nWRONG\n")
	}
	r.wantCounted(admission.SourcesShutOut, 1)
	// The first ban is for a second, which may pass on a busy machine. The next one is for
	// two, from the next wrong claim on, and so on.
	told := 0
	for told == 0 {
		if got := r.guess("+token good\npool\nWRONG\n"); got != "" {
			t.Errorf("a claim of a banned source gets %q", got)
		}
		if got := r.guess("+token other\nmultiplex\n"); strings.HasPrefix(got, "-shut-out your address is shut out for ") {
			told++
		} else if got != "" && !strings.HasPrefix(got, "-unauthorized ") {
			t.Fatalf("a banned source is answered by %q", got)
		}
	}
	r.wantSoon("lines that say so", 1, func() int64 { return int64(min(strings.Count(log.String(), "event=source_banned"), 1)) })
}
