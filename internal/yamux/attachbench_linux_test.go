package yamux_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/transport"
)

// joined returns users that are joined in pairs by streams of two sessions, like those
// of a relay and a forwarder.
func joined(b *testing.B, count int) (near, far []*transport.Conn) {
	b.Helper()
	engines, sets := make([]*join.Engine, 2), make([]*join.Set, 2)
	for i := range engines {
		engine, err := join.NewEngine()
		check(b, err)
		engines[i], sets[i] = engine, engine.NewSet(nil)
	}
	ctx, stop := context.WithCancel(context.Background())
	b.Cleanup(func() {
		stop()
		for _, engine := range engines {
			engine.Close()
		}
	})
	client, server := sessions(b)
	for range count {
		from, to := openWithoutDeadlines(b, client, server)
		inner, user := tcpPair(b)
		near = append(near, user)
		sets[0].Join(ctx, inner, from, join.Options{}, func(join.Result) {})
		inner, user = tcpPair(b)
		far = append(far, user)
		sets[1].Join(ctx, to, inner, join.Options{}, func(join.Result) {})
	}
	for _, conn := range append(append([]*transport.Conn(nil), near...), far...) {
		check(b, conn.SetDeadline(time.Time{}))
	}
	return near, far
}

// BenchmarkAttached moves data from user to user in one direction, through sockets and
// two sessions.
func BenchmarkAttached(b *testing.B) {
	for _, count := range []int{1, 8} {
		b.Run(fmt.Sprintf("streams=%d", count), func(b *testing.B) {
			near, far := joined(b, count)
			carry(b, 128<<10, near, far)
		})
	}
}

// BenchmarkAttachedPingPong moves 64 bytes from user to user and back, on all streams
// at once.
func BenchmarkAttachedPingPong(b *testing.B) {
	for _, count := range []int{1, 64} {
		b.Run(fmt.Sprintf("streams=%d", count), func(b *testing.B) {
			near, far := joined(b, count)
			bounce(b, near, far)
		})
	}
}
