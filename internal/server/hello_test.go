package server_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/proxyproto"
	"github.com/seed96252745/relay/internal/server"
)

// The relay client is told who the user is, in one piece with what the user has said
// by then, and then all the rest. The record counts the user's bytes.
func TestHello(t *testing.T) {
	for _, size := range []int{0, 18, 1 << 10, 5000} {
		t.Run(fmt.Sprint(size, " bytes"), func(t *testing.T) {
			log := new(lockedBuffer)
			r := start(t, func(c *server.Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
			r.request("+proxy v2\nmultiplex\n")
			tunnel := <-r.fake.tunnels
			u := user(t, tunnel)
			said := strings.Repeat("x", size)
			conntest.Write(t, u, said)
			waiting := tunnel.next(t)
			<-time.After(grace) // it has come
			client := waiting.serve(t)
			_ = client.SetDeadline(time.Now().Add(patience))
			first := make([]byte, 10_000)
			n, err := client.Read(first)
			if err != nil {
				t.Fatal(err)
			}
			if want := 28 + min(size, 1<<10); n < want {
				t.Errorf("%d bytes came in one piece, want %d", n, want)
			}
			rest := bytes.NewReader(first[:n])
			from, _, err := proxyproto.Read(rest)
			if err != nil || from.String() != u.LocalAddr().String() {
				t.Errorf("the user is %v, %v; want %v", from, err, u.LocalAddr())
			}
			_ = u.CloseWrite()
			if got, err := io.ReadAll(io.MultiReader(rest, client)); string(got) != said || err != nil {
				t.Errorf("then %d bytes came, %v; want %d", len(got), err, size)
			}
			_ = client.Close()
			if _, err := io.ReadAll(u); err != nil {
				t.Error(err)
			}
			want := fmt.Sprintf("received=%d ", size)
			for since := time.Now(); !strings.Contains(log.String(), want); <-time.After(time.Millisecond) {
				if time.Since(since) > patience {
					t.Fatalf("no record says %q:\n%s", want, log)
				}
			}
		})
	}
}

// Addresses are one word in the log, in JSON too.
func TestAddressesInLog(t *testing.T) {
	log := new(lockedBuffer)
	r := start(t, func(c *server.Config) { c.Logger = slog.New(slog.NewJSONHandler(log, nil)) })
	conn := r.request("+nonsense\nmultiplex\n")
	want := fmt.Sprintf("%q:%q", "relayClient", seen(conn))
	if _, err := io.ReadAll(conn); err != nil {
		t.Fatal(err)
	}
	for since := time.Now(); !strings.Contains(log.String(), want); <-time.After(time.Millisecond) {
		if time.Since(since) > patience {
			t.Fatalf("no line says %s:\n%s", want, log)
		}
	}
}
