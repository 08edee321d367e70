package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/seed96252745/relay/internal/join"
)

// How long to wait after an error of accept, from the first to the tenth in a
// row, as net/http does it.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// acceptAll hands on every connection of l until l is closed, whose error it
// returns, or ctx is done. Any other error passes: they come when descriptors
// or memory run out, and a listener that gave up would have to be started
// again by hand.
func acceptAll(ctx context.Context, l Listener, log *slog.Logger, handle func(join.Conn)) error {
	pause := time.Duration(0)
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			handle(conn)
			continue
		case errors.Is(err, net.ErrClosed) || ctx.Err() != nil:
			return err
		case pause == 0:
			log.Error("cannot accept connections; trying on", "address", l.Addr(), "error", err)
		}
		pause = min(max(2*pause, minAcceptPause), maxAcceptPause)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}
