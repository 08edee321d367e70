package yamux_test

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/transport"
)

// joined makes users who are joined in pairs by streams of two sessions, as
// those of a relay and a forwarder are.
func joined(b *testing.B, count int) (near, far []*transport.Conn) {
	b.Helper()
	engines := make([]*join.Engine, 2)
	for i := range engines {
		engine, err := join.NewEngine()
		check(b, err)
		engines[i] = engine
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
		from, to := unhurried(b, client, server)
		inner, user := tcpPair(b)
		near = append(near, user)
		engines[0].Join(ctx, inner, from, func(join.Result) {})
		inner, user = tcpPair(b)
		far = append(far, user)
		engines[1].Join(ctx, to, inner, func(join.Result) {})
	}
	for _, conn := range append(append([]*transport.Conn(nil), near...), far...) {
		check(b, conn.SetDeadline(time.Time{}))
	}
	return near, far
}

// BenchmarkAttached is from user to user, through sockets and two sessions, in
// one direction.
func BenchmarkAttached(b *testing.B) {
	const piece = 128 << 10
	for _, count := range []int{1, 8} {
		b.Run(fmt.Sprintf("streams=%d", count), func(b *testing.B) {
			near, far := joined(b, count)
			b.SetBytes(piece)
			b.ReportAllocs()
			b.ResetTimer()
			var all sync.WaitGroup
			for i := range count {
				n := b.N / count
				if i < b.N%count {
					n++
				}
				all.Go(func() {
					p := make([]byte, piece)
					for range n {
						if _, err := near[i].Write(p); err != nil {
							b.Error(err)
							return
						}
					}
				})
				all.Go(func() {
					p := make([]byte, piece)
					for got := 0; got < n*piece; {
						m, err := far[i].Read(p)
						if err != nil {
							b.Error(err)
							return
						}
						got += m
					}
				})
			}
			all.Wait()
		})
	}
}

// BenchmarkAttachedPingPong is 64 bytes from user to user and back, on each
// stream at a time.
func BenchmarkAttachedPingPong(b *testing.B) {
	for _, count := range []int{1, 64} {
		b.Run(fmt.Sprintf("streams=%d", count), func(b *testing.B) {
			near, far := joined(b, count)
			b.ReportAllocs()
			b.ResetTimer()
			var all sync.WaitGroup
			for i := range count {
				n := b.N / count
				if i < b.N%count {
					n++
				}
				all.Go(func() {
					p := make([]byte, 64)
					for range n {
						if _, err := near[i].Write(p); err != nil {
							b.Error(err)
							return
						}
						if _, err := io.ReadFull(near[i], p); err != nil {
							b.Error(err)
							return
						}
					}
				})
				all.Go(func() {
					p := make([]byte, 64)
					for range n {
						if _, err := io.ReadFull(far[i], p); err != nil {
							b.Error(err)
							return
						}
						if _, err := far[i].Write(p); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
		})
	}
}
