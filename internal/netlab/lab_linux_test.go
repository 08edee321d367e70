//go:build lab

package netlab_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/netlab"
)

// newLab makes a lab, and removes it at the end of the test.
func newLab(t *testing.T, c *netlab.Conditions) *netlab.Lab {
	t.Helper()
	if missing := netlab.Missing("iptables", "conntrack"); missing != "" {
		t.Fatal(missing)
	}
	lab, err := netlab.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	return lab
}

// echo runs a server on a host that sends each user back what that user sends.
func echo(t *testing.T, h *netlab.Host, addr string) {
	t.Helper()
	var l net.Listener
	err := h.Enter(func() (err error) {
		l, err = net.Listen("tcp", addr)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			t.Cleanup(func() { conn.Close() })
			go func() { _, _ = io.Copy(conn, conn) }() // ends with the connection
		}
	}()
}

func dial(t *testing.T, h *netlab.Host, addr string) *net.TCPConn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := h.Dial(ctx, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// talk sends something and wants it back.
func talk(conn net.Conn, patience time.Duration, size int) error {
	if err := conn.SetDeadline(time.Now().Add(patience + 20*time.Second)); err != nil {
		return err
	}
	sent := []byte(strings.Repeat("x", size))
	if _, err := conn.Write(sent); err != nil {
		return err
	}
	// From now on, because the write may have waited for a processor.
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, size))
	return err
}

// clientToRelay is a connection through the NAT.
func clientToRelay(t *testing.T, lab *netlab.Lab) *net.TCPConn {
	t.Helper()
	const addr = netlab.RelayAddr + ":7000"
	echo(t, lab.Relay, addr)
	conn := dial(t, lab.Client, addr)
	if err := talk(conn, 20*time.Second, 100_000); err != nil {
		t.Fatalf("without a fault: %v", err)
	}
	return conn
}

func inject(t *testing.T, f netlab.Fault) {
	t.Helper()
	if err := f.Inject(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func heal(t *testing.T, f netlab.Fault) {
	t.Helper()
	if err := f.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestReachable(t *testing.T) {
	lab := newLab(t, nil)
	const everywhere = "0.0.0.0:7000"
	echo(t, lab.Relay, everywhere)
	echo(t, lab.Client, everywhere)
	echo(t, lab.Local, everywhere)
	for name, conn := range map[string]*net.TCPConn{
		"user to relay":   dial(t, lab.User, netlab.PublicAddr+":7000"),
		"client to relay": dial(t, lab.Client, netlab.RelayAddr+":7000"),
		"client to local": dial(t, lab.Client, netlab.LocalAddr+":7000"),
		"relay to client": dial(t, lab.Relay, netlab.ClientAddr+":7000"),
	} {
		if err := talk(conn, 20*time.Second, 100_000); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStoppingFaults has faults stop a connection for as long as they are there, and no
// longer.
func TestStoppingFaults(t *testing.T) {
	for name, fault := range map[string]func(*netlab.Lab) netlab.Fault{
		"black hole":      (*netlab.Lab).ClientGone,
		"one way":         func(l *netlab.Lab) netlab.Fault { return l.NAT.Deaf(netlab.Near) },
		"the other way":   func(l *netlab.Lab) netlab.Fault { return l.Relay.Deaf(netlab.Far) },
		"all is lost":     func(l *netlab.Lab) netlab.Fault { return l.Lossy(1) },
		"link down":       (*netlab.Lab).LinkDown,
		"of large frames": func(l *netlab.Lab) netlab.Fault { return l.BlackHole(1400) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits, mostly
			lab := newLab(t, nil)
			conn := clientToRelay(t, lab)
			f := fault(lab)
			inject(t, f)
			if err := talk(conn, time.Second, 10_000); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("with the fault: %v, want nothing for a second", err)
			}
			heal(t, f)
			if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
				t.Errorf("what was on its way: %v", err)
			}
		})
	}
}

func TestSomeLoss(t *testing.T) {
	lab := newLab(t, nil)
	conn := clientToRelay(t, lab)
	inject(t, lab.Lossy(0.1))
	if err := talk(conn, 60*time.Second, 200_000); err != nil {
		t.Errorf("with loss of 10 %%: %v", err)
	}
}

func TestResets(t *testing.T) {
	lab := newLab(t, nil)
	conn := clientToRelay(t, lab)
	storm := lab.Resets(1)
	inject(t, storm)
	if err := talk(conn, 20*time.Second, 100); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection ended with %v, want a reset", err)
	}
	heal(t, storm)
	if err := talk(dial(t, lab.Client, netlab.RelayAddr+":7000"), 20*time.Second, 100); err != nil {
		t.Errorf("a new connection afterwards: %v", err)
	}
}

// TestForgottenByNAT has a connection that the NAT has forgotten be silent: there is no
// reset, in neither direction.
func TestForgottenByNAT(t *testing.T) {
	lab := newLab(t, nil)
	conn := clientToRelay(t, lab)
	inject(t, lab.Amnesia())
	if err := talk(conn, 2*time.Second, 100); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a forgotten connection: %v, want nothing for two seconds", err)
	}
	if err := talk(dial(t, lab.Client, netlab.RelayAddr+":7000"), 20*time.Second, 100); err != nil {
		t.Errorf("a new connection: %v", err)
	}
}

func TestShortMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for what lasts ten seconds")
	}
	lab := newLab(t, nil)
	inject(t, lab.ShortMemory())
	conn := clientToRelay(t, lab)
	// Silence is what is waited for: nothing comes for twelve seconds.
	if err := conn.SetDeadline(time.Now().Add(12 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("an idle connection: %v", err)
	}
	if err := talk(conn, 2*time.Second, 100); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection that was silent: %v, want nothing for two seconds", err)
	}
}

func TestSmallSegments(t *testing.T) {
	lab := newLab(t, nil)
	inject(t, lab.SmallSegments(536))
	conn := clientToRelay(t, lab)
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if got := maxSegment(t, raw); got > 536 {
		t.Errorf("segments are of up to %d bytes, want 536", got)
	}
}

func TestSlow(t *testing.T) {
	for name, fault := range map[string]func(*netlab.Lab) netlab.Fault{
		"uplink":    func(l *netlab.Lab) netlab.Fault { return l.SlowUplink(1_000_000) },
		"downlink":  func(l *netlab.Lab) netlab.Fault { return l.Relay.Slow(netlab.Far, 1_000_000) },
		"both ways": func(l *netlab.Lab) netlab.Fault { return l.SlowLink(1_000_000) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits, mostly
			lab := newLab(t, nil)
			conn := clientToRelay(t, lab)
			slow := fault(lab)
			inject(t, slow)
			// 500,000 bytes take four seconds, less what the bucket holds.
			begin := time.Now()
			if err := talk(conn, 60*time.Second, 500_000); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took < 3*time.Second {
				t.Errorf("500,000 bytes took %v over 1 Mbit/s", took)
			}
			heal(t, slow)
		})
	}
}

// TestSockets looks for a connection at each host, by the addresses that it has there.
func TestSockets(t *testing.T) {
	lab := newLab(t, nil)
	conn := clientToRelay(t, lab)
	sockets := lab.Sockets(t.Context())
	for _, want := range []string{conn.LocalAddr().String(), netlab.NATAddr + ":"} {
		if !strings.Contains(sockets, want) {
			t.Errorf("%s is in none of\n%s", want, sockets)
		}
	}
}

func TestWireInALab(t *testing.T) {
	lab := newLab(t, &netlab.Conditions{Delay: 50 * time.Millisecond, Loss: 0.01, Reorder: 0.01, Duplicate: 0.01})
	conn := clientToRelay(t, lab)
	// One packet in a hundred overtakes all others, and takes no time at all.
	var took []time.Duration
	for range 7 {
		begin := time.Now()
		if err := talk(conn, 20*time.Second, 1); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	if median := took[len(took)/2]; median < 100*time.Millisecond {
		t.Errorf("there and back took %v in the median over a wire of 50 ms: %v", median, took)
	}
}

func TestProcess(t *testing.T) {
	lab := newLab(t, nil)
	p, err := lab.Client.Start(exec.Command("sh", "-c", "echo started; ip -o addr show near; exec tail -f /dev/null"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := p.Line(ctx, 0, "started"); err != nil {
		t.Error(err)
	}
	if _, err := p.Line(ctx, 0, netlab.ClientAddr); err != nil {
		t.Error(err)
	}
	p.Kill()
	if _, err := p.Line(ctx, 0, "never"); err == nil {
		t.Error("a process that has ended said what it never says")
	}
}
