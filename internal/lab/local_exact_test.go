//go:build lab && linux

package lab_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/seed96252745/relay/internal/checker"
)

// A thousand users at once, all of whom send and receive.
func TestRow01Concurrency(t *testing.T) {
	eachLocal(t, "row01_concurrency", func(t *testing.T, protocol string) {
		r := newLocalRig(t, protocol, localSetup{})
		before := r.baseline()
		size := shortOr(32<<10, 1<<20)
		r.used(r.public, "--users=1000", "--parallel=1000", "--modes=both", fmt.Sprintf("--up=%d", size), fmt.Sprintf("--down=%d", size))
		leaks := r.noLeak(before)
		s := r.verify(checker.Rules{})
		record(t, "1", "none: 1,000 users at once, both ways", "none", fmt.Sprintf("%d of %d complete, %s/s; %s",
			s.Complete, s.Users, mib(int64(s.Throughput)), leaks))
	})
}

// Many short connections, one after the other.
func TestRow02Churn(t *testing.T) {
	eachLocal(t, "row02_churn", func(t *testing.T, protocol string) {
		r := newLocalRig(t, protocol, localSetup{})
		before := r.baseline()
		r.used(r.public, fmt.Sprintf("--users=%d", shortOr(3000, 50_000)), "--parallel=200", "--modes=echo", "--up=100")
		leaks := r.noLeak(before)
		s := r.verify(checker.Rules{})
		record(t, "2", "none: short connections, 200 at a time", "none", fmt.Sprintf("%d of %d complete, %.0f each second, first byte p50 %s, p99 %s; %s",
			s.Complete, s.Users, float64(s.Users)/s.Lasted.Seconds(), ms(s.FirstByte.P50), ms(s.FirstByte.P99), leaks))
	})
}

// slowly is how long the slow direction takes after the other one has ended.
// LAB_LONG makes it longer than yamux libraries keep a half-closed stream.
func slowly() string {
	if os.Getenv("LAB_LONG") != "" {
		return "6m30s"
	}
	return shortOr("1s", "30s")
}

// The user ends, and the server answers for long.
func TestRow03HalfClose(t *testing.T) {
	eachLocal(t, "row03_half-close", func(t *testing.T, protocol string) { halfClosed(t, protocol, "3", "half-close") })
}

// The server ends, and the user goes on for long.
func TestRow04ServerHalfClose(t *testing.T) {
	eachLocal(t, "row04_server-half-close", func(t *testing.T, protocol string) { halfClosed(t, protocol, "4", "server-half-close") })
}

func halfClosed(t *testing.T, protocol, row, mode string) {
	r := newLocalRig(t, protocol, localSetup{})
	up, down := 1<<20, shortOr(16<<20, 64<<20)
	if mode == "server-half-close" {
		up, down = down, up
	}
	r.used(r.public, "--users=2", "--parallel=2", "--modes="+mode, "--linger="+slowly(),
		fmt.Sprintf("--up=%d", up), fmt.Sprintf("--down=%d", down))
	s := r.verify(checker.Rules{})
	record(t, row, mode+", then much the other way, slowly", "shutdown(SHUT_WR)",
		fmt.Sprintf("%d of %d complete, %s in %.0f s", s.Complete, s.Users, mib(s.Up+s.Down), s.Lasted.Seconds()))
}

// The server speaks as soon as there is a connection, to users who are silent.
func TestRow05ServerFirst(t *testing.T) {
	eachLocal(t, "row05_server-first", func(t *testing.T, protocol string) {
		r := newLocalRig(t, protocol, localSetup{server: []string{"--banner=-1s"}})
		r.used(r.public, "--users=200", "--parallel=20", "--modes=server-first", "--up=1000", "--down=1000")
		r.used(r.public, "--users=10", "--parallel=10", "--modes=server-first", "--up=1000", "--down=1000", "--seed=2", "--linger="+shortOr("1s", "30s"))
		s := r.verify(checker.Rules{})
		record(t, "5", "the server speaks first", "users who are silent", fmt.Sprintf("%d of %d complete, first byte p50 %s, p99 %s, max %s",
			s.Complete, s.Users, ms(s.FirstByte.P50), ms(s.FirstByte.P99), ms(s.FirstByte.Max)))
	})
}

// One side resets, after as many bytes as there may be at an edge.
func TestRow06Reset(t *testing.T) {
	eachLocal(t, "row06_reset", func(t *testing.T, protocol string) {
		r := newLocalRig(t, protocol, localSetup{})
		before := r.baseline()
		for i, n := range []int{0, 1, 4 << 10, 1 << 20} {
			size := fmt.Sprintf("=%d", n)
			r.used(r.public, "--users=40", "--parallel=8", "--modes=user-reset,server-reset,answer-reset", "--stall=20s",
				fmt.Sprintf("--seed=%d", 100+i), "--up"+size, "--down"+size)
			// And with everything delivered before.
			r.used(r.public, "--users=16", "--parallel=16", "--modes=user-reset", "--linger=100ms", "--stall=20s",
				fmt.Sprintf("--seed=%d", 200+i), "--up"+size, "--down"+size)
		}
		leaks := r.noLeak(before)
		s := r.verify(checker.Rules{})
		record(t, "6", "reset by user or server at byte 0, 1, 4 KiB, 1 MiB; answer and reset", "SO_LINGER 0",
			fmt.Sprintf("%d resets told in p50 %s, max %s; %s", s.Reset.Count, ms(s.Reset.P50), ms(s.Reset.Max), leaks))
	})
}
