package pool

import (
	"context"
	"slices"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
)

// opening is a user who waits for a connection.
type opening struct {
	protocol.Handover
	session *session
}

// Wait returns the connection as Open does.
func (o *opening) Wait(ctx context.Context) (conn.Conn, error) {
	s := o.session
	select {
	case conn := <-o.Next():
		return conn, nil
	case <-ctx.Done():
	case <-s.ended.Done():
	}
	s.mu.Lock()
	at, err := slices.Index(s.waiting, o), s.err
	if at >= 0 {
		s.waiting = slices.Delete(s.waiting, at, at+1)
	}
	s.mu.Unlock()
	switch {
	case at < 0:
		return <-o.Next(), nil // it came at the last moment
	case err != nil:
		return nil, protocol.ErrTunnelEnded
	}
	return nil, context.Cause(ctx)
}
