package tcpstate_test

import (
	"testing"

	"github.com/seed96252745/relay/internal/tcpstate"
)

// Close ends the watches that are left, which may still be stopped, and the
// Watcher can be used again.
func TestCloseWatcher(t *testing.T) {
	conn, peer := pair(t)
	w := watcher(t)
	quiet, fired := make(chan struct{}, 1), make(chan struct{}, 1)
	before := w.Start(conn, tcpstate.Ended, func() { quiet <- struct{}{} })
	w.Close()
	_ = peer.CloseWrite()
	again := w.Start(conn, tcpstate.Ended, func() { fired <- struct{}{} })
	wantFired(t, fired)
	before.Stop()
	again.Stop()
	wantQuiet(t, quiet)
}
