package relay_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/relaytest"
)

// doneLog hands on the line about each user who is done.
type doneLog struct {
	slog.Handler // for what is not asked for here
	users        chan map[string]string
}

func newDoneLog() doneLog { return doneLog{slog.DiscardHandler, make(chan map[string]string, 10)} }

func (doneLog) Enabled(context.Context, slog.Level) bool { return true }

func (l doneLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "user done" {
		return nil
	}
	attrs := make(map[string]string)
	r.Attrs(func(a slog.Attr) bool { attrs[a.Key] = a.Value.String(); return true })
	l.users <- attrs
	return nil
}

// want waits for one user's record.
func (l doneLog) want(t *testing.T, by, how string) {
	t.Helper()
	select {
	case got := <-l.users:
		if _, failed := got["error"]; got["endedBy"] != by || got["how"] != how || failed != (how == "lost") {
			t.Errorf("logged %v; want that it was ended by the %s: %s", got, by, how)
		}
	case <-time.After(patience):
		t.Error("the user is not logged")
	}
}

// serveBytes serves an echo server until the test ends.
func serveBytes(t *testing.T) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return l.Addr()
}

// served returns the connection of a user who has been served.
func served(t *testing.T, public net.Addr) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", public.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte("u")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// The forwarder logs a user in the same words as the relay.
func TestForwardRecords(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		log := newDoneLog()
		options.Logger = slog.New(log)
		public := forward(t, relaytest.Start(t).Addr(), serveBytes(t).String(), options)
		_ = served(t, public).CloseWrite()
		log.want(t, "user", "fin")
	})
}

// way carries one connection to a relay, until it is cut.
type way struct {
	addr string
	cut  func()
}

func newWay(t *testing.T, to string) way {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	far, err := net.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	near := make(chan net.Conn, 1)
	running.Go(func() {
		defer close(near)
		conn, err := l.Accept()
		_ = l.Close() // there is no second time
		if err != nil {
			return
		}
		near <- conn
		running.Go(func() { _, _ = io.Copy(far, conn) })
		_, _ = io.Copy(conn, far)
	})
	cut := sync.OnceFunc(func() {
		_ = l.Close()
		conns := []net.Conn{far}
		if conn, ok := <-near; ok {
			conns = append(conns, conn)
		}
		for _, conn := range conns {
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
		running.Wait()
	})
	t.Cleanup(cut)
	return way{l.Addr().String(), cut}
}

// If the connection to the relay that all users share is lost, none of the users has ended
// its own.
func TestForwardRecordsTheLossOfTheRelay(t *testing.T) {
	log := newDoneLog()
	w := newWay(t, relaytest.Start(t).Addr())
	public := forward(t, w.addr, serveBytes(t).String(), &relay.Options{Logger: slog.New(log)})
	for range 3 {
		served(t, public)
	}
	w.cut()
	for range 3 {
		log.want(t, "relay", "lost")
	}
}

// Closing Options.Cut ends the wait for connections at once, and the log says who did it.
func TestForwardCut(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		log := newDoneLog()
		cut, public, ended := make(chan struct{}), make(chan net.Addr, 1), make(chan error, 1)
		options.Logger = slog.New(log)
		options.Cut, options.Drain = cut, time.Hour
		options.OnRegister = func(addr net.Addr) { public <- addr }
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r, local := relaytest.Start(t), serveBytes(t)
		go func() { ended <- relay.Forward(ctx, r.Addr(), local.String(), options) }()
		user := served(t, <-public)
		cancel()
		close(cut)
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Forward: %v", err)
			}
		case <-time.After(patience):
			t.Fatal("Forward does not end")
		}
		log.want(t, "relay_client", "drain")
		if _, err := io.ReadAll(user); err == nil {
			t.Error("the user sees an end, and no reset")
		}
	})
}
