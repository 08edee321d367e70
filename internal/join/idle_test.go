package join_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/transport"
)

// soon are limits that end idle joins soon, except where bytes wait, or B's answer is
// awaited.
var soon = join.IdleLimits{Limit: 200 * time.Millisecond, Queued: patience, Far: join.B, Ended: patience}

// bothJoins runs a test with joins of a loop, where there is one, and with joins that
// are copied.
func bothJoins(t *testing.T, test func(t *testing.T, s *join.Set, o join.Options)) {
	for name, o := range map[string]join.Options{"sockets": {}, "copied": {Limiter: highLimit()}} {
		t.Run(name, func(t *testing.T) {
			e, err := join.NewEngine()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(e.Close)
			test(t, e.NewSet(nil), o)
		})
	}
}

// startIdle joins two connections, and returns their far ends.
func startIdle(t *testing.T, s *join.Set, o join.Options) (a, b *transport.Conn, result <-chan join.Result) {
	t.Helper()
	r := newRig(t)
	results := make(chan join.Result, 1)
	s.Join(r.ctx, r.near[join.A], r.near[join.B], o, func(r join.Result) { results <- r })
	conntest.WantPair(t, r.far[join.A], r.far[join.B])
	t.Cleanup(func() { r.cancel(io.EOF) }) // before the engine is closed
	return r.far[join.A], r.far[join.B], results
}

// A silent join is reset; one on which something moves now and then, in either direction,
// is not.
func TestIdleJoinsEnd(t *testing.T) {
	bothJoins(t, func(t *testing.T, s *join.Set, o join.Options) {
		silent, silentServer, silentResult := startIdle(t, s, o)
		user, server, _ := startIdle(t, s, o)
		s.StopIdle(soon)
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			every := time.NewTicker(soon.Limit / 2)
			defer every.Stop()
			for from, to := user, server; ; from, to = to, from {
				conntest.WantPair(t, from, to)
				select {
				case <-every.C:
				case <-stop:
					return
				}
			}
		}()
		conntest.WantReset(t, silent)
		conntest.WantReset(t, silentServer)
		if r := <-silentResult; r.Ending() != join.Stopped {
			t.Errorf("the silent join ended as %v (%v), want %v", r.Ending(), r.Err, join.Stopped)
		}
		close(stop)
		<-stopped
		conntest.WantPair(t, user, server)
	})
}

// Bytes that wait for a peer have more time, and so does the answer of a far side that
// has everything.
func TestIdleJoinsWaitForPeers(t *testing.T) {
	for name, begin := range map[string]func(t *testing.T, user, server *transport.Conn) (end func()){
		"bytes for the user":   func(t *testing.T, user, server *transport.Conn) func() { return fillUp(t, server, user) },
		"bytes for the server": func(t *testing.T, user, server *transport.Conn) func() { return fillUp(t, user, server) },
		"the answer": func(t *testing.T, user, server *transport.Conn) func() {
			_ = user.CloseWrite()
			if _, err := server.Read(make([]byte, 1)); err != io.EOF {
				t.Fatalf("the server reads %v, want the end", err)
			}
			return func() {
				conntest.Write(t, server, "answer")
				conntest.WantRead(t, user, "answer")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bothJoins(t, func(t *testing.T, s *join.Set, o join.Options) {
				silent, _, _ := startIdle(t, s, o)
				user, server, _ := startIdle(t, s, o)
				end := begin(t, user, server)
				s.StopIdle(soon)
				conntest.WantReset(t, silent)
				end()
			})
		})
	}
}

// A join that its limiter slows down is not idle.
func TestIdleJoinsAreNotThoseSlowedDown(t *testing.T) {
	e, err := join.NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	s := e.NewSet(nil)
	silent, _, _ := startIdle(t, s, join.Options{})
	user, server, _ := startIdle(t, s, join.Options{Limiter: rate.NewLimiter(16<<10, 16<<10)})
	s.StopIdle(soon)
	const some = 40 << 10 // of which the last bytes go after a second
	go conntest.Write(t, user, strings.Repeat("x", some))
	conntest.WantReset(t, silent)
	conntest.WantRead(t, server, strings.Repeat("x", some))
}

// fillUp has one send more to another than sockets hold. End has the other read it all.
func fillUp(t *testing.T, one, another *transport.Conn) (end func()) {
	const much = 64 << 20
	sent := make(chan error, 1)
	go func() { _, err := io.Copy(one, io.LimitReader(endless{}, much)); sent <- err }()
	conntest.Read(t, another, 1)
	return func() {
		if n, err := io.CopyN(io.Discard, another, much-1); err != nil {
			t.Errorf("%d bytes came, and %v", n, err)
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
	}
}

// endless reads as bytes without end.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }
