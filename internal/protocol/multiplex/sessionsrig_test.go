package multiplex_test

import (
	"context"
	"errors"
	"io"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/multiplex"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/wire"
)

// sessionsRig is a tunnel of several sessions, whose relay client is the test.
type sessionsRig struct {
	*testing.T
	relay  *multiplex.Relay
	tunnel protocol.Session
	first  yamuxPeer
	id     string
}

const owner = "somebody"

// newSessions registers and asks for so many sessions, of which granted are granted.
func newSessions(t *testing.T, relay *multiplex.Relay, asked, granted int) *sessionsRig {
	t.Helper()
	near, far := protocoltest.Pair(t)
	tunnel, err := relay.Register(near, protocol.Grant{Answer: wire.Answer{Port: 20001}, Owner: owner, Sessions: asked})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := wire.ReadAnswer(wire.NewReader(far))
	if err != nil || answer.Port != 20001 || answer.Sessions != granted {
		t.Fatalf("got %+v, %v; want %d sessions", answer, err, granted)
	}
	if !regexp.MustCompile(`^[A-Z2-7]{26}$`).MatchString(answer.Session) {
		t.Errorf("the id is %q", answer.Session)
	}
	r := &sessionsRig{t, relay, tunnel, yamuxPeer{t, far}, answer.Session}
	t.Cleanup(func() {
		_ = far.Reset() // Close would wait for it
		_ = tunnel.Close()
	})
	return r
}

// claim makes another connection with this id.
func (r *sessionsRig) claim(owner, id string) (*transport.Conn, error) {
	r.Helper()
	near, far := protocoltest.Pair(r.T)
	err := r.relay.Claim(near, owner, id)
	r.Cleanup(func() { _ = far.Reset() })
	return far, err
}

// add adds a session.
func (r *sessionsRig) add() yamuxPeer {
	r.Helper()
	far, err := r.claim(owner, r.id)
	if err != nil {
		r.Fatal(err)
	}
	return yamuxPeer{r.T, far}
}

// userOn opens a stream, which has to come on this session, as its stream with this id.
func (r *sessionsRig) userOn(session yamuxPeer, id uint32) conn.Conn {
	r.Helper()
	user := open(r.T, r.tunnel)
	session.want(frame{kind: typeWindow, flags: flagSYN, stream: id})
	session.send(frame{kind: typeWindow, flags: flagACK, stream: id})
	return user
}

// awaitMissing waits until so many sessions are missing.
func (r *sessionsRig) awaitMissing(sessions int) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	for r.tunnel.(protocol.Claimable).ExpectedClaims() != sessions {
		if ctx.Err() != nil {
			r.Fatalf("%d sessions are missing, want %d", r.tunnel.(protocol.Claimable).ExpectedClaims(), sessions)
		}
		_ = pauseShortly(ctx)
	}
}

// pauseShortly lets others run.
func pauseShortly(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	<-ctx.Done()
	return ctx.Err()
}

// wantEcho has bytes go both ways on a stream.
func wantEcho(t *testing.T, user conn.Conn, session yamuxPeer, id uint32) {
	t.Helper()
	conntest.Write(t, user, "hi")
	session.want(data(id, 0, "hi"))
	session.send(data(id, 0, "ho"))
	conntest.WantRead(t, user, "ho")
}

// recent is a protocol.Recent that forgets nothing.
type recent struct{ keys sync.Map }

func (r *recent) Add(k wire.Key) { r.keys.Store(k, nil) }

func (r *recent) Contains(k wire.Key) bool {
	_, ok := r.keys.Load(k)
	return ok
}

// wantReset expects a reset, and no byte before it.
func wantReset(t *testing.T, c io.Reader) {
	t.Helper()
	if got, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) || len(got) > 0 {
		t.Errorf("got %q, %v; want a reset", got, err)
	}
}
