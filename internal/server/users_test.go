package server_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/server"
)

// Whatever a user has sent while it waited is delivered first, and its end too.
func TestUserSpeaksBeforeItIsServed(t *testing.T) {
	r := start(t)
	tunnel, _ := r.register()
	u := user(t, tunnel)
	conntest.Write(t, u, "GET / HTTP/1.0\r\n\r\n")
	if err := u.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	waiting := tunnel.next(t)
	<-time.After(grace)
	if waiting.ctx.Err() != nil {
		t.Fatalf("given up: %v; a user who has said all is not gone", context.Cause(waiting.ctx))
	}
	client := waiting.serve(t)
	if got, err := io.ReadAll(client); err != nil || string(got) != "GET / HTTP/1.0\r\n\r\n" {
		t.Errorf("the relay client got %q, %v", got, err)
	}
	conntest.Write(t, client, "the answer")
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(u); err != nil || string(got) != "the answer" {
		t.Errorf("the user got %q, %v", got, err)
	}
}

func TestRelayClientCannotServe(t *testing.T) {
	r := start(t)
	tunnel, _ := r.register()
	u := user(t, tunnel)
	tunnel.next(t).answer <- opened{err: errors.New("no connection today")}
	conntest.WantReset(t, u)
	r.join(tunnel) // the next one is served
}

// A user who waits too long is reset, and the protocol learns why.
func TestUserWait(t *testing.T) {
	const limit = 300 * time.Millisecond
	r := start(t, func(c *server.Config) { c.Limits.UserWait = limit })
	tunnel, _ := r.register()
	came := make(chan *opening, 1)
	go func() { came <- <-tunnel.opens }() // or the wait may be over before the test asks
	since := time.Now()
	wantTurnedAway(t, tunnel)
	waiting := next(t, "user", came)
	if took := time.Since(since); took < limit || took > patience/2 {
		t.Errorf("reset after %v, want %v", took, limit)
	}
	if cause := context.Cause(waiting.ctx); cause == nil || errors.Is(cause, context.Canceled) {
		t.Errorf("the cause is %v, want a reason", cause)
	}
}

// A user who resets while it waits is not worth a connection any more.
func TestUserResetsWhileWaiting(t *testing.T) {
	for name, before := range map[string]string{"at once": "", "behind bytes": "GET / HTTP/1.0\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			r := start(t)
			tunnel, _ := r.register()
			u := user(t, tunnel)
			conntest.Write(t, u, before)
			waiting := tunnel.next(t)
			if err := u.SetLinger(0); err != nil {
				t.Fatal(err)
			}
			if err := u.Close(); err != nil {
				t.Fatal(err)
			}
			wantClosed(t, "giving up", waiting.ctx.Done())
			cause := context.Cause(waiting.ctx)
			if cause == nil || errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) {
				t.Errorf("the cause is %v, want that the user has gone", cause)
			}
		})
	}
}

// Users beyond MaxWaiting wait in the kernel, and are not lost.
func TestMaxWaiting(t *testing.T) {
	const n = 5
	r := start(t, func(c *server.Config) { c.Limits.Waiting = 1 })
	tunnel, _ := r.register()
	var users [n]io.ReadWriter
	for i := range users {
		u := user(t, tunnel)
		conntest.Write(t, u, string(rune('0'+i)))
		users[i] = u
	}
	for range users {
		waiting := tunnel.next(t)
		select {
		case <-tunnel.opens:
			t.Fatal("two users wait at a time")
		case <-time.After(grace):
		}
		client := waiting.serve(t)
		i := string(conntest.Read(t, client, 1))[0] - '0'
		conntest.WantPair(t, client, users[i])
	}
}

// The wait of a user whom the kernel keeps begins when there is room for it.
func TestMaxWaitingIsGivenBack(t *testing.T) {
	r := start(t, func(c *server.Config) {
		c.Limits.Waiting = 1
		c.Limits.UserWait = time.Second // in which the others are served, on a busy machine too
	})
	tunnel, _ := r.register()
	for range 5 { // by a time-out, a refusal, and a user who was served
		u := user(t, tunnel)
		tunnel.next(t)
		conntest.WantReset(t, u)
		refused := user(t, tunnel)
		tunnel.next(t).answer <- opened{err: errors.New("no connection today")}
		conntest.WantReset(t, refused)
		u = user(t, tunnel)
		waiting := tunnel.next(t)
		client := waiting.serve(t)
		conntest.WantPair(t, u, client)
	}
}

// The relay client goes: its port closes, who waits is reset, who is joined
// goes on, and the port can be had again.
func TestRelayClientGoes(t *testing.T) {
	r := start(t, func(c *server.Config) { c.Ports = freePorts(t, 1) })
	tunnel, _ := r.register()
	joined, client := r.join(tunnel)
	waits := user(t, tunnel)
	tunnel.next(t)
	tunnel.end()
	conntest.WantReset(t, waits)
	again := registerAgain(r)
	if again.port != tunnel.port {
		t.Errorf("got port %d, want %d", again.port, tunnel.port)
	}
	conntest.WantPair(t, joined, client)
	if err := joined.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(client); err != nil || len(got) > 0 {
		t.Errorf("got %q, %v; want the end", got, err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	wantClosed(t, "the end of the tunnel", tunnel.closed)
	r.join(again)
}

// registerAgain registers as soon as the only port is free.
func registerAgain(r *relay) *fakeTunnel {
	r.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for since := time.Now(); time.Since(since) < patience; <-tick.C {
		conn := r.request("multiplex\n")
		b := make([]byte, 1)
		if _, err := io.ReadFull(conn, b); err != nil {
			r.Fatal(err)
		}
		if b[0] != '-' {
			return <-r.fake.tunnels
		}
	}
	r.Fatal("the port does not become free")
	panic("unreachable")
}

// A user's port is a plain TCP port: bytes of all sizes go through unchanged.
func TestJoinedBytes(t *testing.T) {
	r := start(t)
	tunnel, _ := r.register()
	u, client := r.join(tunnel)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	wrote := make(chan error, 1)
	go func() {
		_, err := u.Write(sent)
		wrote <- errors.Join(err, u.CloseWrite())
	}()
	if got, err := io.ReadAll(client); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("got %d bytes, %v; want %d", len(got), err, len(sent))
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}
