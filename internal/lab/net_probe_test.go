//go:build lab && linux

package lab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/netlab"
)

// What a probe does all the time, as the user says in the first byte.
const (
	idle     = 'i'
	download = 'd' // the local server sends
	upload   = 'u' // the user sends
)

var doing = map[byte]string{idle: "idle", download: "downloading", upload: "uploading"}

// probe is one side of a user's connection, until it ends.
type probe struct {
	kind byte
	side string
	conn *net.TCPConn
	// ended gives how, once.
	ended chan ending
}

func (p *probe) String() string { return p.side + " of one that is " + doing[p.kind] }

// ending is how a connection ended.
type ending struct {
	err error // io.EOF for FIN
	at  time.Time
}

func newProbe(t *testing.T, conn *net.TCPConn, kind byte, sends bool, side string) *probe {
	p := &probe{kind: kind, side: side, conn: conn, ended: make(chan ending, 1)}
	done := make(chan struct{})
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	go func() {
		defer close(done)
		chunk := make([]byte, 32<<10)
		var err error
		for err == nil {
			if sends {
				_, err = conn.Write(chunk)
			} else {
				_, err = conn.Read(chunk)
			}
		}
		p.ended <- ending{err, time.Now()}
		conn.Close() // or what is half closed would stay
	}()
	return p
}

// reset waits until the probe is reset, and gives when that was.
func (p *probe) reset(t *testing.T, patience time.Duration) time.Time {
	t.Helper()
	select {
	case end := <-p.ended:
		if !isReset(end.err) {
			t.Errorf("the %s ended with %v, want a reset", p, end.err)
		}
		return end.at
	case <-time.After(patience):
		t.Errorf("the %s has not ended after %v, want a reset", p, patience)
		return time.Now()
	}
}

// isReset includes what a write says after the kernel has told of the reset.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// probes are the local server of a rig, and its users.
type probes struct {
	rig      *rig
	accepted chan *probe
}

// newProbeRig makes a rig with a local server for probes.
func newProbeRig(t *testing.T, protocol string, s setup) (*rig, *probes) {
	t.Helper()
	var p *probes
	s.local = func(r *rig) { p = newProbes(r, localPort) }
	return newRig(t, protocol, s), p
}

// newProbes runs a local server for probes.
func newProbes(r *rig, port string) *probes {
	r.t.Helper()
	s := &probes{r, make(chan *probe, 1000)}
	r.listen(port, s.serve)
	return s
}

// listen has a local server serve every connection until the test ends. What
// serve still waits for ends with the test's context.
func (r *rig) listen(port string, serve func(*net.TCPConn)) {
	r.t.Helper()
	var l net.Listener
	err := r.Local.Enter(func() (err error) {
		l, err = net.Listen("tcp", netlab.LocalAddr+":"+port)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	var serving sync.WaitGroup
	r.t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			// In pool most connections wait for their user yet.
			serving.Go(func() { serve(conn.(*net.TCPConn)) })
		}
	})
}

// serve does what the user says in the first byte.
func (s *probes) serve(conn *net.TCPConn) {
	stop := context.AfterFunc(s.rig.t.Context(), func() { conn.Close() })
	defer stop()
	kind := make([]byte, 1)
	if _, err := io.ReadFull(conn, kind); err != nil {
		conn.Close()
		return
	}
	s.accepted <- newProbe(s.rig.t, conn, kind[0], kind[0] == download, "local server's side")
}

// users joins one user of each kind, and gives their sides and the local
// server's.
func (s *probes) users(kinds ...byte) (users, locals []*probe) {
	s.rig.t.Helper()
	for _, kind := range kinds {
		ctx, cancel := context.WithTimeout(s.rig.t.Context(), startPatience)
		conn, err := s.rig.User.Dial(ctx, s.rig.public)
		cancel()
		if err != nil {
			s.rig.t.Fatal(err)
		}
		if _, err := conn.Write([]byte{kind}); err != nil {
			s.rig.t.Fatal(err)
		}
		users = append(users, newProbe(s.rig.t, conn, kind, kind == upload, "user's side"))
		select {
		case local := <-s.accepted:
			locals = append(locals, local)
		case <-time.After(startPatience):
			s.rig.t.Fatalf("no connection at the local server for a user who is %s", doing[kind])
		}
	}
	return users, locals
}

// allReset waits until all probes are reset, and gives how long after since the
// last one was.
func allReset(t *testing.T, since time.Time, within time.Duration, all ...[]*probe) time.Duration {
	t.Helper()
	var longest time.Duration
	for _, some := range all {
		for _, p := range some {
			took := p.reset(t, time.Until(since.Add(within+5*time.Second))).Sub(since)
			if took > within {
				t.Errorf("the %s was reset after %v, want at most %v", p, took, within)
			}
			longest = max(longest, took)
		}
	}
	return longest
}

// works has a new user come, once the tunnel is there again.
func (s *probes) works() error {
	ctx, cancel := context.WithTimeout(s.rig.t.Context(), startPatience)
	defer cancel()
	conn, err := s.rig.User.Dial(ctx, s.rig.public)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte{download}); err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(startPatience)); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, make([]byte, 100_000)); err != nil {
		return fmt.Errorf("a new user: %w", err)
	}
	select {
	case <-s.accepted:
		return nil
	case <-ctx.Done():
		return errors.New("a new user was served by nobody")
	}
}

func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }
