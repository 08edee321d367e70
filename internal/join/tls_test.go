package join_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/transport"
)

// tlsJoin joins TLS with plain TCP, and returns the peers of both.
func tlsJoin(t *testing.T) (secure peerTLS, plain *transport.Conn, result chan join.Result) {
	t.Helper()
	nearTLS, secure := tlsPair(t)
	near, plain := conntest.Pair(t)
	_, _ = secure.SetDeadline(time.Now().Add(patience)), plain.SetDeadline(time.Now().Add(patience))
	result = make(chan join.Result, 1)
	joinTo(t, t.Context(), nearTLS, near, result)
	t.Cleanup(func() { _, _ = secure.Reset(), plain.Reset() })
	return secure, plain, result
}

// Bytes arrive as they were sent, with their end, both ways.
func TestTLSEnds(t *testing.T) {
	sent := pattern(5_000_000)
	for name, secureFirst := range map[string]bool{"TLS first": true, "TCP first": false} {
		t.Run(name, func(t *testing.T) {
			secure, plain, result := tlsJoin(t)
			first, second := conn.Conn(plain), conn.Conn(secure)
			if secureFirst {
				first, second = second, first
			}
			for _, way := range [][2]conn.Conn{{first, second}, {second, first}} {
				go func() {
					_, _ = way[0].Write(sent)
					_ = way[0].CloseWrite()
				}()
				if got, err := io.ReadAll(way[1]); err != nil || !bytes.Equal(got, sent) {
					t.Errorf("got %d bytes, %v; want %d and the end", len(got), err, len(sent))
				}
			}
			r := await(t, result)
			if r.Err != nil || r.AToB != int64(len(sent)) || r.BToA != int64(len(sent)) {
				t.Errorf("got %+v", r)
			}
		})
	}
}

// A reset goes through, behind what was sent before.
func TestTLSResets(t *testing.T) {
	t.Run("the TLS peer", func(t *testing.T) {
		secure, plain, result := tlsJoin(t)
		conntest.Write(t, secure, "hello")
		conntest.Read(t, plain, len("hello"))
		_ = secure.Reset()
		wantReset(t, plain)
		wantFailure(t, await(t, result), join.A)
	})
	t.Run("the TCP peer", func(t *testing.T) {
		secure, plain, result := tlsJoin(t)
		said := pattern(100_000)
		conntest.Write(t, plain, said)
		conntest.Read(t, secure, 1) // so that the join has something to write
		_ = plain.CloseWrite()
		conntest.Write(t, secure, "hello")
		conntest.Read(t, plain, len("hello"))
		_ = plain.Reset()
		if got, err := io.ReadAll(secure); !bytes.Equal(got, said[1:]) {
			t.Errorf("got %d bytes, %v; want %d", len(got), err, len(said)-1)
		}
		_, _ = secure.Write([]byte("this is lost")) // fails if the join knows by now
		if r := await(t, result); r.Err == nil {
			t.Error("the join does not know that it has failed")
		}
	})
}

// An answer that was cut off on the wire is not passed off as a whole one.
func TestTLSIsCutOff(t *testing.T) {
	secure, plain, result := tlsJoin(t)
	conntest.Write(t, secure, "half an answer")
	conntest.Read(t, plain, len("half an answer"))
	_ = secure.below.CloseWrite() // without close_notify
	wantReset(t, plain)
	if r := await(t, result); !errors.Is(r.Err, conn.ErrTruncated) || r.First != join.A || r.Ending() != join.Lost {
		t.Errorf("got %+v", r)
	}
}

// A join that has nothing to do holds no buffer.
func TestTLSAtRestIsSmall(t *testing.T) {
	const joins = 50
	var before, after runtime.MemStats
	conns := make([][2]conn.Conn, joins)
	for i := range conns {
		near, secure := tlsPair(t)
		plainNear, plain := conntest.Pair(t)
		conns[i] = [2]conn.Conn{near, plainNear}
		t.Cleanup(func() { _, _ = secure.Reset(), plain.Reset() })
	}
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan join.Result, joins)
	collect(&before)
	for _, c := range conns {
		go func() { result <- join.CopyJoin(ctx, c[0], c[1], join.Options{}) }()
	}
	const most = 48 << 10
	each := int64(most + 1)
	for limit := time.Now().Add(patience); each > most && time.Now().Before(limit); {
		settle()
		collect(&after) // not all may have come to rest yet
		each = (int64(after.HeapAlloc+after.StackInuse) - int64(before.HeapAlloc+before.StackInuse)) / joins
	}
	t.Logf("%d bytes each", each)
	cancel()
	for range joins {
		await(t, result)
	}
	if each > most {
		t.Errorf("each takes %d bytes", each)
	}
}

// collect reads what memory is in use that is no garbage.
func collect(stats *runtime.MemStats) {
	runtime.GC()
	runtime.GC() // the second empties pools
	runtime.ReadMemStats(stats)
}

// settle lets other goroutines run until none wants to.
func settle() {
	for range 1000 {
		runtime.Gosched()
	}
}
