//go:build lab && linux

package lab_test

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/netlab"
)

// The three legs are cut at the same time, each in a network of its own, under
// connections at rest, with bytes under way, busy ones, and ones behind a closed
// window. The peer on the other side of the join has to be reset in time.
func TestPeerVanishesOnEveryLeg(t *testing.T) {
	t.Parallel()
	for leg, cut := range map[string]func(*netlab.Lab) netlab.Fault{
		"user": (*netlab.Lab).UserGone, "relay": (*netlab.Lab).ClientGone, "local": (*netlab.Lab).LocalGone,
	} {
		t.Run(leg, func(t *testing.T) {
			t.Parallel()
			p := newPairs(t, "multiplex", "pool", "event")
			watched := p.watch(leg)
			defer keepBusy(watched)()
			p.pause(time.Second)
			p.inject(cut(p.Lab))
			since := time.Now()
			var running sync.WaitGroup
			for _, w := range watched {
				if w.situation == underWay {
					_, _ = w.user.Write([]byte("hello"))
					_, _ = w.server.Write([]byte("hello"))
				}
			}
			for _, w := range watched {
				running.Go(func() { w.wantNoticed(t, leg, since) })
			}
			if leg == "relay" {
				running.Go(func() { p.wantPoolEmpty(since) })
			}
			running.Wait()
		})
	}
}

// Situations in which a peer vanishes.
const (
	atRest       = "at rest"
	underWay     = "bytes under way"
	busy         = "busy"
	closedWindow = "closed window"
)

type watchedPair struct {
	pair
	protocol, situation string
	failed              map[*net.TCPConn]chan error // what writing has failed with, of busy ones
}

// watch makes a pair for each protocol and situation. The windows that are closed
// are those towards the leg.
func (p *pairs) watch(leg string) (watched []watchedPair) {
	p.t.Helper()
	for _, protocol := range p.protocols {
		for _, situation := range []string{atRest, underWay, busy, closedWindow} {
			watched = append(watched, watchedPair{p.connect(protocol), protocol, situation, make(map[*net.TCPConn]chan error)})
		}
	}
	for _, w := range watched {
		switch {
		case w.situation == closedWindow && leg == "local":
			fill(p.t, w.user)
		case w.situation == closedWindow:
			fill(p.t, w.server)
		}
	}
	return watched
}

// keepBusy writes to both sides of busy pairs until that fails. The caller calls stop,
// which closes all pairs.
func keepBusy(watched []watchedPair) (stop func()) {
	var writing sync.WaitGroup
	for _, w := range watched {
		if w.situation != busy {
			continue
		}
		for _, conn := range []*net.TCPConn{w.user, w.server} {
			failed := make(chan error, 1)
			w.failed[conn] = failed
			writing.Go(func() { failed <- chat(conn) })
		}
	}
	return func() {
		for _, w := range watched {
			w.user.Close()
			w.server.Close()
		}
		writing.Wait()
	}
}

// chat writes a little, often, until that fails.
func chat(conn *net.TCPConn) (err error) {
	for ; err == nil; <-time.After(20 * time.Millisecond) {
		_, err = conn.Write([]byte("hello"))
	}
	return err
}

// end returns the error that conn ends with. A socket reports its failure once: the
// writer of a busy one gets it.
func (w watchedPair) end(conn *net.TCPConn) error {
	if failed := w.failed[conn]; failed != nil {
		return <-failed
	}
	_, err := io.Copy(io.Discard, conn)
	return err
}

// wantNoticed expects resets at the ends that are not beyond the cut.
func (w watchedPair) wantNoticed(t *testing.T, leg string, since time.Time) {
	var running sync.WaitGroup
	for end, conn := range map[string]*net.TCPConn{"user": w.user, "server": w.server} {
		if end == "user" && leg == "user" || end == "server" && leg == "local" {
			continue
		}
		running.Go(func() {
			_ = conn.SetDeadline(since.Add(noticed + 30*time.Second))
			err := w.end(conn)
			took := time.Since(since).Round(100 * time.Millisecond)
			t.Logf("MEASURED leg %s cut, %s, %s: the %s sees %q after %v", leg, w.protocol, w.situation, end, reason(err), took)
			if !errors.Is(err, syscall.ECONNRESET) || took > noticed {
				t.Errorf("leg %s cut, %s, %s: the %s sees %v after %v, want a reset within %v", leg, w.protocol, w.situation, end, err, took, noticed)
			}
		})
	}
	running.Wait()
}

func reason(err error) string {
	if err == nil {
		return "end"
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	return err.Error()
}

// wantPoolEmpty expects that connections that wait in a pool are noticed, too: a
// user who comes after the promised time gets none of them, and is reset when
// nobody has come for it within 10 s.
func (p *pairs) wantPoolEmpty(since time.Time) {
	p.pause(noticed - time.Since(since))
	user, err := p.dial("pool")
	if err != nil {
		p.t.Logf("MEASURED leg relay cut, pool: a user who comes after %v sees %v", noticed, err)
		return // the tunnel has ended
	}
	defer user.Close()
	came := time.Now()
	_ = user.SetDeadline(came.Add(noticed))
	_, _ = user.Write([]byte("hello"))
	_, err = io.Copy(io.Discard, user)
	took := time.Since(came).Round(100 * time.Millisecond)
	p.t.Logf("MEASURED leg relay cut, pool: a user who comes after %v sees %q after %v", noticed, reason(err), took)
	if !errors.Is(err, syscall.ECONNRESET) || took > 11*time.Second {
		p.t.Errorf("a user who came when all connections in the pool were dead sees %v after %v, want a reset within 10 s", err, took)
	}
}
