//go:build lab && linux

package lab_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/checker"
)

// Strangers send what is no request, and very much of it.
func TestRow09Garbage(t *testing.T) {
	t.Run("row09_garbage/any", func(t *testing.T) {
		r := newLocalRig(t, "multiplex", localSetup{})
		before := r.baseline()
		logged := len(r.relay.from(0))
		const strangers = 20
		endless := bytes.Repeat([]byte("m"), 1<<20)
		var taken atomic.Int64
		var flood sync.WaitGroup
		for i := range strangers {
			conn := rawDial(t, r.relayAddr, fmt.Sprintf("127.0.0.%d", 10+i))
			flood.Go(func() {
				for range 100 {
					n, err := conn.Write(endless)
					taken.Add(int64(n))
					if err != nil {
						return
					}
				}
				t.Error("the relay took 100 MB without a line end")
			})
		}
		flood.Wait()
		for _, garbage := range []string{"\x00\x00\x00", "\xff\xfe", "żółć\n", strings.Repeat("x", 65), "\n\n\n", "+" + strings.Repeat("x", 5000)} {
			conn := rawDial(t, r.relayAddr, "127.0.0.40")
			_, _ = io.WriteString(conn, garbage)
			if text, end := rawEnd(conn); text != "" || end == "hang" {
				t.Errorf("%.10q: got %q and %s, want an end without a byte", garbage, text, end)
			}
		}
		lines := len(r.relay.from(0)) - logged
		leaks := r.noLeak(before)
		after := r.relay.state()
		r.used(r.public, "--users=10", "--modes=echo", "--up=1000", "--seed=9")
		s := r.verify(checker.Rules{})
		record(t, "9", "no request: 100 MB without a line end, binary, UTF-8, too long", "raw sockets",
			fmt.Sprintf("closed after %s each on average, with what systems buffer; heap %s, was %s; %d lines of log; %d of %d users complete; %s",
				mib(taken.Load()/strangers), mib(after.HeapBytes), mib(before[0].HeapBytes), lines, s.Complete, s.Users, leaks))
	})
}

// Strangers connect in crowds and hardly say anything.
func TestRow10Slowloris(t *testing.T) {
	eachLocal(t, "row10_slowloris", func(t *testing.T, protocol string) {
		timeout := shortOr("3s", "5s")
		r := newLocalRig(t, protocol, localSetup{relay: []string{"--handshakeTimeout=" + timeout, "--controlProxies=127.0.0.2"}})
		before := r.baseline()
		strangers, lasts := shortOr(500, 2000), shortOr(4*time.Second, 8*time.Second)
		begin := time.Now()
		users := r.use(r.public, "--duration="+lasts.String(), "--parallel=5", "--modes=echo,both", "--up=10000", "--down=10000", "--seed=10")
		var longest atomic.Int64
		var crowd sync.WaitGroup
		for i := range strangers {
			crowd.Go(func() {
				conn, err := rawTry(r.relayAddr, "127.0.0.2")
				if err != nil {
					return // turned away at the door
				}
				// Limits for each address are not for loopback.
				_, _ = fmt.Fprintf(conn, "PROXY TCP4 192.0.2.%d 198.51.100.1 %d 8080\r\n", 2+i%4, 1024+i)
				came := time.Now()
				drip(conn)
				for took := int64(time.Since(came)); ; {
					if was := longest.Load(); was >= took || longest.CompareAndSwap(was, took) {
						return
					}
				}
			})
		}
		var worst time.Duration
		registrations := 0
		for ; time.Since(begin) < lasts; registrations++ {
			asked := time.Now()
			conn := rawRelay(t, r.relayAddr, "event\nnew\n")
			rawPublic(t, conn)
			worst = max(worst, time.Since(asked))
			rawReset(conn)
			rawWait(100 * time.Millisecond)
		}
		crowd.Wait()
		if !users.wait() {
			t.Error("users failed")
		}
		counters := nonZero(r.relay.state().Counters)
		leaks := r.noLeak(before)
		s := r.verify(checker.Rules{})
		record(t, "10", "handshakes at a byte each second", fmt.Sprintf("%d sockets from 4 addresses, as a load balancer says, --handshakeTimeout=%s", strangers, timeout),
			fmt.Sprintf("all closed within %.1f s; %d registrations meanwhile took %s at most; %d of %d users complete; counters %v; %s",
				time.Duration(longest.Load()).Seconds(), registrations, ms(worst), s.Complete, s.Users, counters, leaks))
	})
}

// drip sends a byte each second until the connection is closed, and closes it.
func drip(conn io.ReadWriteCloser) {
	closed := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
		close(closed)
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		_, _ = io.WriteString(conn, "m")
		select {
		case <-closed:
			return
		case <-tick.C:
		}
	}
}

// Strangers send what would look like something else in a log.
func TestRow45LogInjection(t *testing.T) {
	t.Run("row45_log-injection/any", func(t *testing.T) {
		relay, addr := localRelay(t, "--logLevel=debug")
		payloads := []string{
			"event\n\x1b[2J\x1b[31mowned\n", "pool\n{\"msg\":\"relay is ready\"}\n", "\x1b]0;title\x07\n",
			"+" + strings.Repeat("n", 4000) + "\nevent\nnew\n", "multiplex\r\r\n", "event\n" + strings.Repeat("\x7f", 100) + "\n",
		}
		for _, payload := range payloads {
			conn := rawRelay(t, addr, payload)
			_ = conn.CloseWrite()
			_, _ = rawEnd(conn)
		}
		relay.state() // whatever was to be logged has been
		longest := 0
		lines := relay.from(0)
		for _, line := range lines {
			var entry map[string]any
			if err := json.Unmarshal([]byte(line), &entry); err != nil {
				t.Errorf("not JSON: %q", line)
			}
			if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("control characters in %q", line)
			}
			if entry["msg"] != "state" {
				longest = max(longest, len(line))
			}
		}
		// Nothing that is logged needs more; a stranger must not fill disks.
		if longest > 1024 {
			t.Errorf("got a line of %d bytes, want them cut", longest)
		}
		record(t, "45", "escapes, JSON and 4 KiB names in handshakes", "raw sockets, --logLevel=debug",
			fmt.Sprintf("%d lines for %d of them and the start, all JSON without control characters, at most %d bytes", len(lines), len(payloads), longest))
	})
}
