package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/tcpstate"
)

// tunnel is a public port and the way to its relay client.
type tunnel struct {
	server   *Server
	port     int
	listener Listener
	reach    protocol.Tunnel
	log      *slog.Logger

	waiting chan struct{}  // holds one for each user who waits for the relay client
	users   sync.WaitGroup // users of this tunnel
}

func newTunnel(s *Server, verb string, port int, l Listener, reach protocol.Tunnel, client net.Addr) *tunnel {
	return &tunnel{
		server:   s,
		port:     port,
		listener: l,
		reach:    reach,
		log:      s.log.With("port", port, "protocol", verb, "relayClient", client.String()),
		waiting:  make(chan struct{}, s.config.MaxWaiting),
	}
}

// startTunnel runs t until it ends, unless the server has been closed.
func (s *Server) startTunnel(t *tunnel) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Err() != nil {
		return false
	}
	s.tunnels.Go(t.run)
	return true
}

// run takes users until the relay client is gone or the server drains.
func (t *tunnel) run() {
	t.log.Info("tunnel opened")
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		t.acceptUsers()
	}()
	reason := "the relay client is gone"
	select {
	case <-t.reach.Done():
	case <-t.server.draining.Done():
		reason = "the relay is shutting down"
	}
	_ = t.listener.Close()
	<-accepting
	t.server.ports.release(t.port)
	t.log.Info("tunnel closed", "reason", reason)
	// Users who are joined go on for as long as they can. One who waits for a
	// relay client that reads nothing is freed only by closing that.
	defer context.AfterFunc(t.server.closed, func() { _ = t.reach.Close() })()
	t.users.Wait()
	t.reach.Finish()
}

// abandon ends a tunnel that was never run.
func (t *tunnel) abandon() {
	_ = t.listener.Close()
	_ = t.reach.Close()
	t.server.ports.release(t.port)
}

// acceptUsers is where users enter. While too many wait it leaves further ones
// in the kernel's queue, where they cost nothing and lose nothing.
func (t *tunnel) acceptUsers() {
	quick, _ := t.reach.(protocol.Quick)
	_ = acceptAll(t.server.draining, t.listener, t.log, func(user join.Conn) {
		if quick != nil {
			if conn := quick.OpenNow(); conn != nil {
				t.join(user, conn)
				return
			}
		}
		select {
		case t.waiting <- struct{}{}:
		case <-t.reach.Done():
			_ = user.Reset()
			return
		case <-t.server.draining.Done():
			_ = user.Reset()
			return
		}
		t.users.Go(func() { t.serveUser(user) })
	})
}

// Why a user was reset before being joined; besides these, what the protocol
// returns.
var (
	errUserGone = errors.New("the user went away while waiting")
	errTooLong  = errors.New("the relay client did not come for the user in time")
)

// serveUser joins a user who has to wait for that.
func (t *tunnel) serveUser(user join.Conn) {
	conn, err := t.open(user)
	if err != nil {
		t.log.Warn("user reset", "user", user.RemoteAddr().String(), "reason", err)
		_ = user.Reset()
		return
	}
	t.join(user, conn)
}

// join is where a user and the relay client meet.
func (t *tunnel) join(user, conn join.Conn) {
	addr := user.RemoteAddr() // put into words only if somebody reads it
	t.log.Debug("user joined", "user", addr)
	t.users.Add(1)
	t.server.engine.Join(t.server.closed, user, conn, func(r join.Result) {
		defer t.users.Done()
		t.log.Debug("user done", "user", addr, "received", r.AToB, "sent", r.BToA, "ending", r.Ending(), "error", r.Err)
	})
}

// open gets the user a connection to the relay client. It does not touch what
// the user has sent, and gives up if the user resets.
func (t *tunnel) open(user join.Conn) (join.Conn, error) {
	ctx, giveUp := context.WithCancelCause(t.server.closed)
	defer giveUp(nil)
	defer time.AfterFunc(t.server.config.UserWait, func() { giveUp(errTooLong) }).Stop()
	watch := t.server.watcher.Start(user, tcpstate.Dead, func() { giveUp(errUserGone) })
	defer watch.Stop()
	defer func() { <-t.waiting }()
	return t.reach.Open(ctx)
}
