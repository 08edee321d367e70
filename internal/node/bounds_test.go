package node_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/event"
	"github.com/seed96252745/relay/internal/protocol/multiplex"
	"github.com/seed96252745/relay/internal/protocol/pool"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/wire"
)

// A token's bound on users holds for all that its owner's relay clients have, one after
// the other: who registers again and again gets no more.
func TestTokenBoundsHoldForWhoComesBack(t *testing.T) {
	const rounds = 5
	for name, client := range map[string]protocol.Client{
		"multiplex": &multiplex.Client{}, "pool": pool.Client{Size: 2}, "event": &event.Client{},
	} {
		for way, said := range map[string]wire.Preamble{
			"no lease": {Token: "a"},
			"lease":    {Token: "a", Lease: "kkkkkkkkkkkkkkkkkkkkkkkkkk"},
		} {
			t.Run(name+", "+way, func(t *testing.T) {
				o := startOwned(t, "")
				o.change(token("a", "tunnels=1 users=1 ports="+strconv.Itoa(o.ports.First)))
				var served atomic.Int64
				for range rounds {
					port := o.serveOnce(client, said, &served)
					if said.Lease == "" && name != "pool" { // which is kept for a minute
						o.wantClosed(port)
					}
				}
				if n := served.Load(); n != 1 {
					t.Errorf("%d users are served at a time, want 1", n)
				}
			})
		}
	}
}

// serveOnce registers, unless that is refused because there is a tunnel already, has a
// user come, and ends that. Served are users who have their echo, and stay.
func (o *owned) serveOnce(client protocol.Client, said wire.Preamble, served *atomic.Int64) (port int) {
	o.Helper()
	dial := func(ctx context.Context) (conn.Conn, error) { return transport.DialRelay(ctx, o.addr) }
	r, err := client.Register(o.Context(), dial, protocol.Preamble{
		Registration: said.Options(), Claim: wire.Preamble{Token: said.Token}.Options(),
	})
	var refused *wire.Refusal
	if errors.As(err, &refused) && refused.Code == wire.CodeLimit {
		return 0
	}
	if err != nil {
		o.Fatal(err)
	}
	serving := make(chan struct{})
	go func() {
		defer close(serving)
		_ = r.Serve(func(_ context.Context, conn conn.Conn) { // its error says that it was closed
			echoing := make(chan struct{})
			go func() {
				defer close(echoing)
				_, _ = io.Copy(conn, conn) // ends with the user
			}()
			o.Cleanup(func() { _ = conn.Reset(); <-echoing })
		})
	}()
	user, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(r.Answer().Port)))
	if err == nil {
		o.Cleanup(func() { _ = user.Close() })
		_ = user.SetReadDeadline(time.Now().Add(tokensSoon))
		if _, err = user.Write([]byte("x")); err == nil {
			_, err = io.ReadFull(user, make([]byte, 1))
		}
	}
	switch {
	case err == nil:
		served.Add(1)
	case !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE): // one too many is reset
		o.Errorf("a user gets %v, want an echo or a reset", err)
	}
	_ = r.Close()
	<-serving
	return r.Answer().Port
}
