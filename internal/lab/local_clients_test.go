//go:build lab && linux

package lab_test

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/checker"
)

// Users come while the pool has no connection; later it has one.
func TestRow12PoolEmpty(t *testing.T) {
	t.Run("row12_pool-empty/pool", func(t *testing.T) {
		const users = 200
		wait := shortOr(3*time.Second, 10*time.Second)
		p := newLocalPlay(t)
		_, relay := localRelay(t, "--userWait="+wait.String())
		first := rawRelay(t, relay, "pool\nnew\n")
		public := rawPublic(t, first)
		id := rawLine(t, first)
		rawDial(t, public, "") // takes the connection that there is, and keeps it
		many := p.use(public, fmt.Sprintf("--users=%d", users), fmt.Sprintf("--parallel=%d", users), "--modes=echo", "--up=1000")
		rawWait(wait / 2)
		late := rawRelay(t, relay, "pool\n"+id+"\n")
		rawSplice(t, late, rawDial(t, p.local, ""))
		if !many.wait() {
			t.Errorf("users failed: %q", many.from(0))
		}
		s := p.verify(checker.Rules{Faulty: true})
		if s.Complete != 1 || s.Ends[checker.EndReset] != users-1 {
			t.Errorf("got %v, want 1 served, and %d reset", s.Ends, users-1)
		}
		record(t, "12", "pool without a connection, then with one", "200 users, scripted client",
			fmt.Sprintf("%d served, %d reset; users wait %v, and those for whom there was no place to wait as long again: %.1f s in all",
				s.Complete, s.Ends[checker.EndReset], wait, s.Lasted.Seconds()))
	})
}

// A client that does not know the id of a pool gets nothing, however often it tries.
func TestRow15PoolThief(t *testing.T) {
	t.Run("row15_pool-thief/pool", func(t *testing.T) {
		tries := shortOr(1000, 10_000)
		r := newLocalRig(t, "pool", localSetup{})
		before := r.baseline()
		users := r.use(r.public, fmt.Sprintf("--duration=%s", shortOr("2s", "10s")), "--parallel=5", "--modes=echo,both", "--up=10000", "--down=10000", "--seed=15")
		var answered, turned atomic.Int64
		var thieves sync.WaitGroup
		for i := range 10 {
			thieves.Go(func() {
				for j := range tries / 10 {
					conn, err := rawTry(r.relayAddr, "127.0.0.9")
					if err != nil {
						turned.Add(1) // at the door
						continue
					}
					_, _ = fmt.Fprintf(conn, "pool\nAAAAAAAAAAAAAAAAAAAA%06d\n", i*tries+j)
					if text, end := rawEnd(conn); text != "" || end == "hang" {
						answered.Add(1)
					} else {
						turned.Add(1)
					}
					rawReset(conn)
				}
			})
		}
		thieves.Wait()
		if !users.wait() {
			t.Error("users failed")
		}
		state := r.relay.state()
		leaks := r.noLeak(before)
		s := r.verify(checker.Rules{})
		if answered.Load() != 0 {
			t.Errorf("got %d answers to wrong ids, want none", answered.Load())
		}
		record(t, "15", "wrong pool ids", fmt.Sprintf("%d tries, 10 at a time, from one address", tries),
			fmt.Sprintf("%d reset without a byte, %d of %d other users complete; counters %v; %s",
				turned.Load(), s.Complete, s.Users, nonZero(state.Counters), leaks))
	})
}

// nonZero leaves out limits that nobody met.
func nonZero(counters map[string]int64) map[string]int64 {
	met := make(map[string]int64)
	for name, n := range counters {
		if n != 0 {
			met[name] = n
		}
	}
	return met
}

// Users leave before their claim, or it comes late, or many times.
func TestRow16EventClaims(t *testing.T) {
	const wait = 6 * time.Second
	_, relay := localRelay(t, "--userWait="+wait.String(), "--maxHandshakesPerSource=0")
	control := rawRelay(t, relay, "event\nnew\n")
	public := rawPublic(t, control)
	claim := func(t *testing.T, id string) *net.TCPConn { return rawRelay(t, relay, "event\n"+id+"\n") }
	refused := func(t *testing.T, conn net.Conn) string {
		text, end := rawEnd(conn)
		if text != "" || end == "hang" {
			t.Errorf("got %q and %s, want an end without a byte", text, end)
		}
		return end
	}
	row := func(name, fault string, test func(t *testing.T) (measured string)) {
		t.Run("row16_"+name+"/event", func(t *testing.T) {
			record(t, "16", fault, "scripted relay client", test(t))
		})
	}
	row("user-resets", "a user resets before the claim", func(t *testing.T) string {
		user := rawDial(t, public, "")
		id := rawLine(t, control)
		rawReset(user)
		return "claim ends with " + refused(t, claim(t, id))
	})
	row("user-ends", "a user ends before the claim", func(t *testing.T) string {
		user := rawDial(t, public, "")
		rawWrite(t, user, "hi")
		_ = user.CloseWrite()
		data := claim(t, rawLine(t, control))
		if text, end := rawEnd(data); text != "hi" || end != "fin" {
			t.Errorf("got %q and %s, want the user's bytes and its end", text, end)
		}
		rawWrite(t, data, "answer")
		_ = data.CloseWrite()
		if text, end := rawEnd(user); text != "answer" || end != "fin" {
			t.Errorf("the user got %q and %s, want the answer", text, end)
		}
		return "bytes, end and answer delivered"
	})
	row("claim-in-time", "a claim in good time", func(t *testing.T) string {
		user := rawDial(t, public, "")
		id := rawLine(t, control)
		rawWait(wait * 2 / 3)
		rawWrite(t, claim(t, id), "served")
		if got := rawFull(t, user, len("served")); got != "served" {
			t.Errorf("got %q, want what the claim said", got)
		}
		return fmt.Sprintf("served at %.1f of %.1f s", (wait * 2 / 3).Seconds(), wait.Seconds())
	})
	row("claim-too-late", "a claim that is late", func(t *testing.T) string {
		begin := time.Now()
		user := rawDial(t, public, "")
		id := rawLine(t, control)
		if text, end := rawEnd(user); text != "" || end != "reset" {
			t.Errorf("a user who waited got %q and %s, want a reset", text, end)
		}
		waited := time.Since(begin)
		return fmt.Sprintf("user reset after %.1f s, claim ends with %s", waited.Seconds(), refused(t, claim(t, id)))
	})
	row("claim-race", "100 claims of one id at once", func(t *testing.T) string {
		user := rawDial(t, public, "")
		id := rawLine(t, control)
		var claims sync.WaitGroup
		var winners atomic.Int64
		rawWrite(t, user, "x")
		_ = user.CloseWrite()
		for range 100 {
			conn := rawDial(t, relay, "")
			claims.Go(func() {
				_, _ = io.WriteString(conn, "event\n"+id+"\n")
				if text, _ := rawEnd(conn); text == "x" {
					winners.Add(1)
				} else if text != "" {
					t.Errorf("a claim got %q", text)
				}
			})
		}
		claims.Wait()
		if winners.Load() != 1 {
			t.Errorf("got %d winners, want one", winners.Load())
		}
		return fmt.Sprintf("%d winner", winners.Load())
	})
}

// A relay client registers and never reads the ids of its users.
func TestRow17SlowControl(t *testing.T) {
	t.Run("row17_slow-control/event", func(t *testing.T) {
		users := shortOr(300, 1000)
		r := newLocalRig(t, "event", localSetup{relay: []string{"--userWait=" + shortOr("5s", "10s")}})
		before := r.baseline()
		control := rawRelay(t, r.relayAddr, "event\n")
		_ = control.SetReadBuffer(4 << 10)
		rawWrite(t, control, "new\n")
		stuck := rawPublic(t, control)
		crowd := newLocalPlay(t)
		crowded := crowd.use(stuck, fmt.Sprintf("--users=%d", users), fmt.Sprintf("--parallel=%d", users), "--modes=echo", "--up=1000")
		r.used(r.public, fmt.Sprintf("--users=%d", shortOr(200, 1000)), "--parallel=10", "--modes=echo", "--up=1000", "--seed=17")
		during := r.relay.state()
		if !crowded.wait() {
			t.Error("users failed")
		}
		lost := crowd.verify(checker.Rules{Faulty: true})
		if lost.Complete != 0 {
			t.Errorf("%d users of a client that does not read were served", lost.Complete)
		}
		rawReset(control)
		leaks := r.noLeak(before)
		s := r.verify(checker.Rules{})
		record(t, "17", "control connection that is not read", fmt.Sprintf("receive buffer 4 KiB, %d users", users),
			fmt.Sprintf("ends of its users %v; heap of the relay %s, was %s; other tunnel: %d of %d complete, first byte p99 %s; %s",
				lost.Ends, mib(during.HeapBytes), mib(before[0].HeapBytes), s.Complete, s.Users, ms(s.FirstByte.P99), leaks))
	})
}
