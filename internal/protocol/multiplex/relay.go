package multiplex

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// A relay client that opens streams is in error. It may do so a few times
// before its tunnel is ended for it.
const (
	maxStrayStreams  = 100
	strayStreamsTime = time.Minute
)

// Relay is the relay's half. The zero value is ready.
type Relay struct{}

var _ protocol.Relay = Relay{}

// Register makes conn a yamux session.
func (Relay) Register(conn join.Conn, port int) (protocol.Tunnel, error) {
	if err := wire.WriteReply(conn, port, ""); err != nil {
		_ = conn.Reset()
		return nil, fmt.Errorf("announcing the port: %w", err)
	}
	session, err := newSession(conn, opensStreams)
	if err != nil {
		return nil, err
	}
	t := &tunnel{session: session}
	t.running.Go(t.refuseStreams)
	return t, nil
}

// Claim refuses: there are no data connections.
func (Relay) Claim(conn join.Conn, _ string) error {
	_ = conn.Reset()
	return protocol.ErrNoClaims
}

type tunnel struct {
	session *session
	running sync.WaitGroup
}

func (t *tunnel) Open(ctx context.Context) (join.Conn, error) { return t.session.open(ctx) }

func (t *tunnel) Done() <-chan struct{} { return t.session.done() }

func (t *tunnel) Close() error {
	err := t.session.close()
	t.running.Wait()
	return err
}

// refuseStreams resets what the relay client opens, until the session ends.
func (t *tunnel) refuseStreams() {
	strays, since := 0, time.Now()
	for {
		stray, err := t.session.accept()
		if err != nil {
			return
		}
		_ = stray.Reset()
		if time.Since(since) > strayStreamsTime {
			strays, since = 0, time.Now()
		}
		if strays++; strays == maxStrayStreams {
			_ = t.session.close()
			return
		}
	}
}
