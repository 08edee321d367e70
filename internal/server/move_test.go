package server_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	library "github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/transport"
)

// A forwarder that is told to move registers with the process that answers now. The other one
// serves on until that has granted it a port, and keeps the users who are joined.
func TestForwarderMoves(t *testing.T) {
	for _, name := range library.Protocols() {
		t.Run(string(name), func(t *testing.T) {
			one, addrOne := startNode(t)
			_, addrTwo := startNode(t)
			front := newFront(t)
			front.to.Store(addrOne)
			events := make(chan library.TunnelEvent, 100)
			forwardEcho(t, front.addr, &library.Options{
				Protocol: name, Drain: -1, OnEvent: func(e library.TunnelEvent) { events <- e },
			})
			public := awaitEvent(t, events, "tunnel_opened").Public.String()
			user := echoed(t, public)
			front.to.Store(addrTwo)
			if name == library.Multiplex { // with the others users come through the front, too
				front.to.Store("127.0.0.1:1") // where nobody answers
			}
			if told, untold := one.Move(); told != 1 || untold != 0 {
				t.Fatalf("%d relay clients are told, and %d cannot be", told, untold)
			}
			if name == library.Multiplex {
				if e := awaitEvent(t, events, "registration_failed"); e.Err == nil {
					t.Error("a failure without an error")
				}
				echoed(t, public)
				front.to.Store(addrTwo)
			}
			next := awaitEvent(t, events, "tunnel_opened").Public.String()
			if e := awaitEvent(t, events, "tunnel_closed"); e.Public.String() != public || e.Reason != "registered_anew" {
				t.Errorf("the end of the previous tunnel is %+v", e)
			}
			echoed(t, next)
			echo(t, user)
		})
	}
}

// startNode starts a relay as people have it.
func startNode(t *testing.T) (s *server.Server, addr string) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := node.Relay(node.Config{Bind: loopback, Ports: freePorts(t, 2), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	l, err := transport.ListenRelayClients(loopback + ":0")
	if err != nil {
		s.Close()
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		<-served // its error says only that it was closed
	})
	return s, l.Addr().String()
}

// front is an address behind which there is one relay or another, each time anew.
type front struct {
	addr string
	to   atomic.Value // address
}

func newFront(t *testing.T) *front {
	t.Helper()
	l, err := net.Listen("tcp", loopback+":0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{addr: l.Addr().String()}
	ended, end := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", f.to.Load().(string))
			if err != nil {
				_ = near.Close()
				continue
			}
			for from, to := range map[net.Conn]net.Conn{near: far, far: near} {
				running.Go(func() {
					defer context.AfterFunc(ended, func() { _ = from.Close() })()
					_, _ = io.Copy(to, from)
					_ = to.(*net.TCPConn).CloseWrite()
				})
			}
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		end()
		running.Wait()
	})
	return f
}

// forwardEcho runs a forwarder before an echo server.
func forwardEcho(t *testing.T, addr string, options *library.Options) {
	t.Helper()
	l, err := net.Listen("tcp", loopback+":0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer context.AfterFunc(ctx, func() { _ = c.Close() })()
				_, _ = io.Copy(c, c)
				_ = c.Close()
			})
		}
	})
	ended := make(chan error, 1)
	go func() { ended <- library.Forward(ctx, addr, l.Addr().String(), options) }()
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		if err := <-ended; err != nil {
			t.Errorf("Forward: %v", err)
		}
		running.Wait()
	})
}

// awaitEvent waits for an event of that name, and drops those before it.
func awaitEvent(t *testing.T, events <-chan library.TunnelEvent, name string) library.TunnelEvent {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case e := <-events:
			if e.Name == name {
				return e
			}
		case <-late:
			t.Fatalf("waited in vain for %s", name)
		}
	}
}

// echoed connects as a user, and is served.
func echoed(t *testing.T, public string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", public)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	echo(t, c)
	return c
}

func echo(t *testing.T, c net.Conn) {
	t.Helper()
	got := make([]byte, 5)
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
		t.Fatalf("%q has come back: %v", got, err)
	}
}
