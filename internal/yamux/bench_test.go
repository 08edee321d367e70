package yamux_test

import (
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/yamux"
)

// unhurried returns both ends of a stream without deadlines.
func openWithoutDeadlines(b testing.TB, from, to *yamux.Session) (opened, accepted *yamux.Stream) {
	b.Helper()
	opened, accepted = open(b, from, to)
	check(b, opened.SetDeadline(time.Time{}))
	check(b, accepted.SetDeadline(time.Time{}))
	return opened, accepted
}

// share divides b.N operations among pairs, which work at the same time. It calls each
// role with the pair i and its number n of operations.
func share(b *testing.B, pairs int, roles ...func(i, n int) error) {
	b.Helper()
	b.ReportAllocs()
	b.ResetTimer()
	var all sync.WaitGroup
	for i := range pairs {
		n := b.N / pairs
		if i < b.N%pairs {
			n++
		}
		for _, role := range roles {
			all.Go(func() {
				if err := role(i, n); err != nil {
					b.Error(err)
				}
			})
		}
	}
	all.Wait()
}

// carry moves b.N pieces in one direction.
func carry[C io.ReadWriter](b *testing.B, piece int, from, to []C) {
	b.Helper()
	b.SetBytes(int64(piece))
	share(b, len(from), func(i, n int) error {
		p := make([]byte, piece)
		for range n {
			if _, err := from[i].Write(p); err != nil {
				return err
			}
		}
		return nil
	}, func(i, n int) error {
		p := make([]byte, piece)
		for got := 0; got < n*piece; {
			m, err := to[i].Read(p)
			if err != nil {
				return err
			}
			got += m
		}
		return nil
	})
}

// bounce moves 64 bytes there and back, b.N times.
func bounce[C io.ReadWriter](b *testing.B, near, far []C) {
	b.Helper()
	share(b, len(near), func(i, n int) error {
		p := make([]byte, 64)
		for range n {
			if _, err := near[i].Write(p); err != nil {
				return err
			}
			if _, err := io.ReadFull(near[i], p); err != nil {
				return err
			}
		}
		return nil
	}, func(i, n int) error {
		p := make([]byte, 64)
		for range n {
			if _, err := io.ReadFull(far[i], p); err != nil {
				return err
			}
			if _, err := far[i].Write(p); err != nil {
				return err
			}
		}
		return nil
	})
}

// unhurriedStreams returns count such streams of one session.
func streamsWithoutDeadlines(b *testing.B, count int) (opened, accepted []*yamux.Stream) {
	b.Helper()
	client, server := sessions(b)
	for range count {
		from, to := openWithoutDeadlines(b, client, server)
		opened, accepted = append(opened, from), append(accepted, to)
	}
	return opened, accepted
}

// BenchmarkThroughput moves data over streams in one direction, in pieces of the size
// in which connections are copied.
func BenchmarkThroughput(b *testing.B) {
	for _, count := range []int{1, 8} {
		b.Run(fmt.Sprintf("streams=%d", count), func(b *testing.B) {
			from, to := streamsWithoutDeadlines(b, count)
			carry(b, 32<<10, from, to)
		})
	}
}

// BenchmarkTCP measures the same without streams.
func BenchmarkTCP(b *testing.B) {
	near, far := tcpPair(b)
	carry(b, 32<<10, []*transport.Conn{near}, []*transport.Conn{far})
}

// BenchmarkPingPong moves 64 bytes there and back, on all streams at once.
func BenchmarkPingPong(b *testing.B) {
	for _, count := range []int{1, 64} {
		b.Run(fmt.Sprintf("streams=%d", count), func(b *testing.B) {
			near, far := streamsWithoutDeadlines(b, count)
			bounce(b, near, far)
		})
	}
}

// BenchmarkOpenClose measures a stream from its SYN to both FINs.
func BenchmarkOpenClose(b *testing.B) {
	client, server := sessions(b)
	accepting := async(func() error {
		for {
			st, err := server.Accept(background)
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
