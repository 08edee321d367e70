package relay_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/event"
	"github.com/seed96252745/relay/internal/protocol/multiplex"
	"github.com/seed96252745/relay/internal/protocol/pool"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/relaytest"
)

// introduced registers at a relay, until the test ends, and returns the public address. The
// users write the headers that a relay would.
func introduced(t *testing.T, i *introducer, client protocol.Client) string {
	t.Helper()
	addr := relaytest.Start(t).Addr()
	r, err := client.Register(t.Context(), func(ctx context.Context) (conn.Conn, error) {
		return transport.DialRelay(ctx, addr)
	}, protocol.Preamble{})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = r.Serve(i.accept) })
	t.Cleanup(func() {
		_ = r.Close()
		serving.Wait()
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		r.Wait(ended)
	})
	return (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: r.Answer().Port}).String()
}

// In every protocol the header shows that a user has come: a pool replaces the connection on
// which a header begins, although nobody has accepted it. A join finds the bytes after the
// header.
func TestUserAddrOverProtocols(t *testing.T) {
	for name, client := range map[string]protocol.Client{
		"multiplex": &multiplex.Client{}, "pool": pool.Client{Size: 1}, "event": &event.Client{},
	} {
		t.Run(name, func(t *testing.T) {
			const users = 5
			i := newIntroducer(t, waitedFor)
			public := introduced(t, i, client)
			payload := bytes.Repeat([]byte("hello"), 20_000)
			var writing sync.WaitGroup
			defer writing.Wait()
			for n := range users {
				header := headerOf(t, &net.TCPAddr{IP: someUser.IP, Port: 1000 + n}, somewhere)
				user := dialUser(t, public)
				writing.Go(func() {
					_, _ = user.Write(append(header, payload...))
					_ = user.CloseWrite()
				})
			}
			for range users {
				select {
				case <-i.came:
				case <-time.After(patience):
					t.Fatal("not all users come")
				}
			}
			seen := make(map[string]bool)
			for range users {
				conn := i.next(t)
				seen[conn.RemoteAddr().String()] = true
				if got, err := io.ReadAll(joined(t, conn)); !bytes.Equal(got, payload) || err != nil {
					t.Errorf("%v sent %d bytes, %v", conn.RemoteAddr(), len(got), err)
				}
			}
			if len(seen) != users {
				t.Errorf("the users were %v, want %d", seen, users)
			}
		})
	}
}

func dialUser(t *testing.T, public string) *net.TCPConn {
	t.Helper()
	user, err := net.Dial("tcp", public)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = user.Close() })
	_ = user.SetDeadline(time.Now().Add(patience))
	return user.(*net.TCPConn)
}

// joined joins conn with a local server, which it returns.
func joined(t *testing.T, conn conn.Conn) (local *transport.Conn) {
	t.Helper()
	engine, err := join.NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	near, local := conntest.Pair(t)
	_ = local.SetDeadline(time.Now().Add(patience))
	engine.NewSet(nil).Join(ctx, conn, near, join.Options{}, func(join.Result) {})
	t.Cleanup(func() { cancel(); engine.Close() })
	return local
}
