package transport_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/transport"
)

// counted is a connection that counts what is written to it in one go.
type counted struct {
	conn.Conn
	writes *atomic.Int32
}

func (c counted) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// countedPair makes a connection with TLS, and counts how often the relay writes
// below it.
func countedPair(t *testing.T) (relay, client conn.Conn, writes *atomic.Int32) {
	t.Helper()
	relayConfig, clientConfig := configs(t)
	writes = new(atomic.Int32)
	addr, result := listenTLS(t, relayConfig, func(conn conn.Conn, config *tls.Config) (conn.Conn, error) {
		return transport.Secure(counted{conn, writes}, config)
	})
	client, err := transport.DialRelayTLS(t.Context(), addr, clientConfig)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Reset() })
	accepted := await(t, result)
	if accepted.err != nil {
		t.Fatal(accepted.err)
	}
	return accepted.conn, client, writes
}

// portion is what is copied at a time, in several records.
const portion = 64 << 10

// A portion is written in one go, however many records it takes, and Read returns several
// records that have come.
func TestTLSPortionsAtOnce(t *testing.T) {
	relay, client, writes := countedPair(t)
	sent := bytes.Repeat([]byte("0123456789abcdef"), portion/16)
	const portions = 8
	before := writes.Load()
	for range portions {
		if n, err := relay.Write(sent); n != portion || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
	}
	if got := writes.Load() - before; got != portions {
		t.Errorf("%d portions took %d writes", portions, got)
	}
	most := 0
	buf := make([]byte, portion)
	for left := portions * portion; left > 0; {
		n, err := client.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		left -= n
		most = max(most, n)
	}
	if most <= 16<<10 {
		t.Errorf("no more than %d bytes were read at a time", most)
	}
}

// Concurrent writers do not disturb each other, and what was written before the end
// arrives before it.
func TestTLSWritersAtOnce(t *testing.T) {
	relay, client, _ := countedPair(t)
	const writers, each = 4, 50
	var writing sync.WaitGroup
	for w := range writers {
		part := bytes.Repeat([]byte{byte('a' + w)}, 5000*(w+1))
		writing.Go(func() {
			for range each {
				if n, err := relay.Write(part); n != len(part) || err != nil {
					t.Errorf("Write: %d, %v", n, err)
					return
				}
			}
		})
	}
	ended := make(chan error, 1)
	go func() {
		writing.Wait()
		ended <- relay.Close()
	}()
	got, err := io.ReadAll(client)
	if err != nil {
		t.Fatal(err)
	}
	if err := await(t, ended); err != nil {
		t.Error(err)
	}
	for w := range writers {
		if n, want := bytes.Count(got, []byte{byte('a' + w)}), 5000*(w+1)*each; n != want {
			t.Errorf("%d bytes of writer %d came, want %d", n, w, want)
		}
	}
}
