package join_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
)

// BenchmarkTLS compares a join of TLS with plain TCP to the simplest loop that
// copies between the two, in turns, so that other load on the machine hits both.
// "of-raw" is the join's throughput as a part of the loop's.
func BenchmarkTLS(b *testing.B) {
	for name, toTLS := range map[string]bool{"to TLS": true, "from TLS": false} {
		b.Run(name, func(b *testing.B) {
			const size = 32 << 20
			var raw, joined time.Duration
			b.SetBytes(size)
			for b.Loop() {
				raw += carry(b, size, toTLS, rawPair, rawCopy)
				joined += carry(b, size, toTLS, func(tb testing.TB) (near, far net.Conn) {
					conn, peer := tlsPair(tb)
					return conn, peer
				}, engineJoin(b))
			}
			b.ReportMetric(raw.Seconds()/joined.Seconds(), "of-raw")
			b.ReportMetric(float64(b.N)*size/joined.Seconds()/1e6, "MB/s-joined")
			b.ReportMetric(float64(b.N)*size/raw.Seconds()/1e6, "MB/s-raw")
		})
	}
}

// carry has bytes go through a join, and returns how long that took.
func carry(
	b *testing.B, size int64, toTLS bool,
	pair func(testing.TB) (near, far net.Conn), copying func(secure, plain net.Conn) (wait func()),
) time.Duration {
	b.Helper()
	secure, peer := pair(b)
	plain, to := conntest.Pair(b)
	source, sink := peer.(conn.Conn), conn.Conn(to)
	if toTLS {
		source, sink = sink, source
	}
	wait := copying(secure, plain)
	began := time.Now()
	go func() {
		part := make([]byte, 256<<10)
		for sent := int64(0); sent < size; sent += int64(len(part)) {
			if _, err := source.Write(part); err != nil {
				b.Error(err)
				break
			}
		}
		_ = source.CloseWrite()
	}()
	if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{sink}, make([]byte, 256<<10)); n != size || err != nil {
		b.Errorf("%d bytes came, %v", n, err)
	}
	took := time.Since(began)
	_ = sink.CloseWrite()
	_, _ = source.Read(make([]byte, 1))
	wait()
	return took
}

// rawCopy is the loop.
func rawCopy(secure, plain net.Conn) (wait func()) {
	done := make(chan struct{}, 2)
	way := func(dst, src net.Conn) {
		defer func() { done <- struct{}{} }()
		_, _ = io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, make([]byte, 64<<10))
		_ = dst.(interface{ CloseWrite() error }).CloseWrite()
	}
	go way(secure, plain)
	go way(plain, secure)
	return func() { <-done; <-done; _, _ = secure.Close(), plain.Close() }
}

// engineJoin is a join as the relay makes them.
func engineJoin(tb testing.TB) func(secure, plain net.Conn) (wait func()) {
	e, err := join.NewEngine()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(e.Close)
	s := e.NewSet(nil)
	return func(secure, plain net.Conn) (wait func()) {
		result := make(chan join.Result, 1)
		s.Join(context.Background(), secure.(conn.Conn), plain.(conn.Conn), join.Options{}, func(r join.Result) { result <- r })
		return func() {
			if r := <-result; r.Err != nil {
				tb.Error(r.Err)
			}
		}
	}
}

// rawPair returns TLS without Relay, near, and an ordinary peer.
func rawPair(tb testing.TB) (near, far net.Conn) {
	tb.Helper()
	relay, client := tlsConfigs(tb)
	below, peer := conntest.Pair(tb)
	server := tls.Server(below.TCPConn, relay)
	shaken := make(chan error, 1)
	go func() { shaken <- server.Handshake() }()
	far = dialOver(tb, peer, client)
	if err := <-shaken; err != nil {
		tb.Fatal(err)
	}
	return server, far
}
