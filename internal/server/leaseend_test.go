package server_test

import (
	"fmt"
	"log/slog"
	"regexp"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/wire"
)

// Others who share an address do not end the lease of one who has just left, however
// many ports it takes. Later it does, and who has lost its key is not shut out.
func TestEvictionSparesWhoHasJustLeft(t *testing.T) {
	const tunnels, evictAfter = 3, time.Second
	log := new(lockedBuffer)
	r := start(t, func(c *server.Config) {
		c.Limits.TunnelsPerSource, c.EvictAfter, c.Ports = tunnels, evictAfter, freePorts(t, 5)
		c.Logger = slog.New(slog.NewTextHandler(log, nil))
	})
	owner := r.own(as("owner", "1"))
	for i := range tunnels - 1 {
		r.own(as(fmt.Sprint("other", i), "1"))
	}
	waits := user(t, owner)
	owner.next(t)
	left := time.Now()
	r.leave(owner)
	for time.Since(left) < evictAfter/2 {
		r.wantRefusal(as("stranger", "1"), wire.CodeLimit)
	}
	again, _ := r.try(as("owner", "1"))
	if again == nil || again.port != owner.port {
		t.Fatalf("the owner has %v, want port %d", again, owner.port)
	}
	client := again.next(t).serve(t)
	conntest.WantPair(t, waits, client)
	_, _ = waits.Close(), client.Close() // or the tunnel would count until then
	r.wantSoon("users", 0, func() int64 { return int64(r.State().Users) })
	r.wantBehind(again)
	left = time.Now()
	r.leave(again)
	for _, refusal := r.try(as("stranger", "1")); refusal != ""; _, refusal = r.try(as("stranger", "1")) {
		if time.Since(left) > patience {
			t.Fatal("the lease of who has left long ago does not give way")
		}
	}
	if after := time.Since(left); after < evictAfter {
		t.Errorf("the lease has given way after %v, want %v", after, evictAfter)
	}
	r.wantSoon("lines about the lease", 1, func() int64 { return log.count(`event=lease_ended port=` + fmt.Sprint(owner.port)) })
}

// The log has the code of a refusal that the relay client was told, also where the error is
// none of the protocol's, and the reason of one that it was not.
func TestRefusalIsLogged(t *testing.T) {
	log := new(lockedBuffer)
	r := start(t, func(c *server.Config) {
		use(c, "event", brokenProtocol{})
		c.Logger = slog.New(slog.NewTextHandler(log, nil))
	})
	r.wantRefusal("+port 1\nmultiplex\n", wire.CodeForbidden)
	conntest.WantReset(t, r.request("event\nWRONG\n"))
	for _, want := range []string{" claim=false code=forbidden error=", " claim=true reason=unknown_id error="} {
		r.wantSoon("lines with"+want, 1, func() int64 { return log.count(want) })
	}
}

// Whatever ends a lease, the log says which one, and why.
func TestEndOfALeaseIsLogged(t *testing.T) {
	ports := freePorts(t, 2)
	away := func(r *relay, lines string) { r.leave(r.own(lines)) }
	for name, c := range map[string]struct {
		do   func(r *relay, ended chan func(error))
		want string
	}{
		"its time is over": {func(r *relay, _ chan func(error)) { away(r, as("a", "1", "+name web")) }, `name=web reason=lease_expired awayFor=0s`},
		"evicted": {func(r *relay, _ chan func(error)) {
			r.own(as("serves", "1"))
			away(r, as("a", "1"))
			r.own(as("b", "1"))
		}, `reason=lease_evicted awayFor=0s`},
		"moved": {func(r *relay, _ chan func(error)) {
			r.own(as("a", "1", fmt.Sprintf("+port %d", ports.First)))
			r.own(as("a", "1", fmt.Sprintf("+port %d", ports.Last)))
		}, `reason=lease_moved`},
		"gave way": {func(r *relay, _ chan func(error)) {
			away(r, as("a", "1", "+token a"))
			r.own("+token a\nmultiplex\n")
		}, `identity=a reason=lease_key_changed awayFor=0s`},
		"revoked": {func(r *relay, ended chan func(error)) {
			r.own(as("a", "1", "+token a"))
			(<-ended)(fmt.Errorf("a: revoked"))
		}, `identity=a reason=other error="a: revoked"`},
	} {
		t.Run(name, func(t *testing.T) {
			log, w := new(lockedBuffer), watched{make(chan func(error), 3)}
			me := only("a", ports.First)
			me.Watch = w.watch
			r := start(t, known(auth.Identity{}, me), func(c *server.Config) {
				c.Ports, c.Limits.TunnelsPerSource, c.EvictAfter = ports, 2, 1
				c.Logger = slog.New(slog.NewTextHandler(log, nil))
				if name == "its time is over" {
					c.Lease = 10 * time.Millisecond
				}
			})
			c.do(r, w.ended)
			line := regexp.MustCompile(`level=INFO msg="lease ended" event=lease_ended port=\d+ ` + regexp.QuoteMeta(c.want) + "\n")
			r.wantSoon("lines that say so", 1, func() int64 { return int64(len(line.FindAllString(log.String(), -1))) })
			r.Close()
			if n := log.count("lease ended"); n != 1 {
				t.Errorf("%d lines say that a lease has ended:\n%s", n, log)
			}
		})
	}
}
