package yamux_test

import (
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/yamux"
)

// unhurried makes both ends of a stream without deadlines.
func unhurried(b testing.TB, from, to *yamux.Session) (opened, accepted *yamux.Stream) {
	b.Helper()
	opened, accepted = open(b, from, to)
	check(b, opened.SetDeadline(time.Time{}))
	check(b, accepted.SetDeadline(time.Time{}))
	return opened, accepted
}

// BenchmarkThroughput is one stream in one direction, in pieces of the size in
// which connections are copied.
func BenchmarkThroughput(b *testing.B) {
	const piece = 32 << 10
	for _, count := range []int{1, 8} {
		b.Run(fmt.Sprintf("streams=%d", count), func(b *testing.B) {
			client, server := sessions(b)
			var from, to []*yamux.Stream
			for range count {
				w, r := unhurried(b, client, server)
				from, to = append(from, w), append(to, r)
			}
			b.SetBytes(piece)
			b.ReportAllocs()
			b.ResetTimer()
			var all sync.WaitGroup
			for i := range count {
				n := b.N / count
				if i == 0 {
					n += b.N % count
				}
				all.Go(func() {
					p := make([]byte, piece)
					for range n {
						if _, err := from[i].Write(p); err != nil {
							b.Error(err)
							return
						}
					}
				})
				all.Go(func() {
					p := make([]byte, piece)
					for got := 0; got < n*piece; {
						m, err := to[i].Read(p)
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

// BenchmarkTCP is what the same costs without streams.
func BenchmarkTCP(b *testing.B) {
	const piece = 32 << 10
	near, far := tcpPair(b)
	b.SetBytes(piece)
	b.ReportAllocs()
	b.ResetTimer()
	writing := async(func() error {
		p := make([]byte, piece)
		for range b.N {
			if _, err := near.Write(p); err != nil {
				return err
			}
		}
		return nil
	})
	p := make([]byte, piece)
	for got := 0; got < b.N*piece; {
		n, err := far.Read(p)
		if err != nil {
			b.Fatal(err)
		}
		got += n
	}
	check(b, <-writing)
}

// BenchmarkPingPong is 64 bytes there and back, on each stream at a time.
func BenchmarkPingPong(b *testing.B) {
	for _, count := range []int{1, 64} {
		b.Run(fmt.Sprintf("streams=%d", count), func(b *testing.B) {
			client, server := sessions(b)
			var all sync.WaitGroup
			ends := make([]*yamux.Stream, count)
			for i := range count {
				var echo *yamux.Stream
				ends[i], echo = unhurried(b, client, server)
				all.Go(func() {
					p := make([]byte, 64)
					for {
						if _, err := io.ReadFull(echo, p); err != nil {
							return
						}
						if _, err := echo.Write(p); err != nil {
							return
						}
					}
				})
			}
			b.ReportAllocs()
			b.ResetTimer()
			var players sync.WaitGroup
			for i, st := range ends {
				n := b.N / count
				if i < b.N%count {
					n++
				}
				players.Go(func() {
					p := make([]byte, 64)
					for range n {
						if _, err := st.Write(p); err != nil {
							b.Error(err)
							return
						}
						if _, err := io.ReadFull(st, p); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			players.Wait()
			b.StopTimer()
			client.Close()
			all.Wait()
		})
	}
}

// BenchmarkOpenClose is a stream from its SYN to both FINs.
func BenchmarkOpenClose(b *testing.B) {
	client, server := sessions(b)
	accepting := async(func() error {
		for {
			st, err := server.Accept()
			if err != nil {
				return err
			}
			if err := st.Close(); err != nil {
				return err
			}
		}
	})
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		st, err := client.Open(b.Context())
		check(b, err)
		if _, err := st.Read(make([]byte, 1)); err != io.EOF {
			b.Fatal(err)
		}
		check(b, st.Close())
	}
	b.StopTimer()
	client.Close()
	<-accepting
}
