package server_test

import (
	"testing"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/proxyproto"
	"github.com/seed96252745/relay/internal/server"
)

// quickProtocol has connections at hand, as a pool does.
type quickProtocol struct {
	*fakeProtocol
	hand chan conn.Conn
}

func (p quickProtocol) Register(conn conn.Conn, g protocol.Grant) (protocol.Session, error) {
	t, err := p.fakeProtocol.Register(conn, g)
	if err != nil {
		return nil, err
	}
	return quickTunnel{t.(*fakeTunnel), p.hand}, nil
}

type quickTunnel struct {
	*fakeTunnel
	hand chan conn.Conn
}

func (t quickTunnel) TryOpen() conn.Conn {
	select {
	case conn := <-t.hand:
		return conn
	default:
		return nil
	}
}

// The owner is told of the limits on a connection that was at hand, too, and cannot be
// written to without waiting, as with TLS.
func TestExcessIsToldAfterAWait(t *testing.T) {
	quick := quickProtocol{hand: make(chan conn.Conn, 1)}
	r := start(t, func(c *server.Config) {
		quick.fakeProtocol = fakeIn(c)
		use(c, "multiplex", quick)
	})
	tunnel, refusal := r.try("+proxy v2\n+users 1\n+name web\nmultiplex\n")
	if tunnel == nil {
		t.Fatal(refusal)
	}
	r.wantSoon("tunnels", 1, func() int64 { return int64(r.State().Tunnels) })
	first := user(t, tunnel)
	client := tunnel.next(t).serve(t)
	if _, _, _, err := proxyproto.ReadDetails(client); err != nil { // or it may be told with this one
		t.Fatal(err)
	}
	wantTurnedAway(t, tunnel)
	r.wantCounted(admission.UsersOfTunnel, 1)
	_, _ = first.Close(), client.Reset()
	r.wantSoon("users", 0, func() int64 { return int64(r.State().Users) })

	atHand, client := conntest.Pair(t)
	quick.hand <- struct{ conn.Conn }{atHand}
	second := user(t, tunnel)
	from, _, said, err := proxyproto.ReadDetails(client)
	if err != nil || from.String() != second.LocalAddr().String() {
		t.Fatalf("the header says %v, %v", from, err)
	}
	if got, want := string(said.Notice), "usersOfTunnel 0 1"; got != want {
		t.Errorf("the owner is told %q, want %q", got, want)
	}
	if said.Sequence.Number == 0 {
		t.Error("the user has no turn")
	}
	conntest.WantPair(t, second, client)
}
