package relay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/relaytest"
)

func TestMain(m *testing.M) {
	if os.Getenv(echoServer) != "" {
		serveEcho()
	}
	if os.Getenv(servicesOf) != "" {
		runServices()
	}
	goleak.VerifyTestMain(m)
}

// patience bounds every wait of a test. It is never reached unless the test fails.
const patience = 30 * time.Second

func eachProtocol(t *testing.T, test func(t *testing.T, options *relay.Options)) {
	for _, protocol := range []relay.Protocol{relay.Multiplex, relay.Pool, relay.Event} {
		t.Run(string(protocol), func(t *testing.T) { test(t, &relay.Options{Protocol: protocol}) })
	}
}

func listen(t *testing.T, addr string, options *relay.Options) *relay.Listener {
	t.Helper()
	l, err := relay.Listen(t.Context(), addr, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// serveGreeting greets every user and closes.
func serveGreeting(t *testing.T, l net.Listener) {
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("Accept: %v, want net.ErrClosed", err)
				}
				return
			}
			running.Go(func() {
				defer conn.Close()
				var name [1]byte
				if _, err := io.ReadFull(conn, name[:]); err == nil {
					_, _ = conn.Write([]byte("hello"))
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
}

// greeted connects as a user, sends something, and expects to be greeted.
func greeted(addr net.Addr) error {
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte("u")); err != nil {
		return err
	}
	got, err := io.ReadAll(conn)
	if err == nil && string(got) != "hello" {
		err = errors.New("greeted with " + string(got))
	}
	return err
}

func TestAcceptAfterClose(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		l := listen(t, relaytest.Start(t).Addr(), options)
		accepted := make(chan error, 1)
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					accepted <- err
					return
				}
				defer conn.Close() // a pool's, which has no user
			}
		}()
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		select {
		case err := <-accepted:
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("the Accept under way: %v, want net.ErrClosed", err)
			}
		case <-time.After(patience):
			t.Error("Close does not wake Accept")
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept after Close: %v, want net.ErrClosed", err)
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("second Close: %v, want net.ErrClosed", err)
		}
	})
}

// The relay is lost and comes back, as another one on another port.
func TestListenerSurvivesTheRelay(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		r := relaytest.Start(t)
		registered := make(chan net.Addr, 10)
		options.OnRegister = func(public net.Addr) { registered <- public }
		l := listen(t, r.Addr(), options)
		serveGreeting(t, l)
		for round := range 3 {
			var public net.Addr
			select {
			case public = <-registered:
			case <-time.After(patience):
				t.Fatalf("round %d: not registered", round)
			}
			if l.Addr() != public {
				t.Errorf("round %d: Addr is %v, and OnRegister was told %v", round, l.Addr(), public)
			}
			if err := greeted(public); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
			if err := r.Restart(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Connections outlive their listener, as they do on TCP.
func TestConnectionsOutliveListener(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		options.PoolSize = 1 // so that the first that is accepted is the user's
		l := listen(t, relaytest.Start(t).Addr(), options)
		user, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer user.Close()
		_ = user.SetDeadline(time.Now().Add(patience))
		if _, err := user.Write([]byte("u")); err != nil {
			t.Fatal(err)
		}
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("still here")); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(user); string(got) != "still here" || err != nil {
			t.Errorf("received %q and %v", got, err)
		}
	})
}

// nobody returns an address on which nobody listens, nor can until the test ends: it is
// one end of a connection.
func nobody(t *testing.T) (addr string) {
	t.Helper()
	_, far := conntest.Pair(t)
	return far.LocalAddr().String()
}

func TestListenErrors(t *testing.T) {
	addr := relaytest.Start(t).Addr()
	for name, c := range map[string]struct {
		addr    string
		options relay.Options
		says    string
	}{
		"unknown protocol": {addr, relay.Options{Protocol: "smoke"}, `unknown protocol "smoke"`},
		"pool too large":   {addr, relay.Options{PoolSize: relay.MaxPoolSize + 1}, "257 connections"},
		"pool negative":    {addr, relay.Options{PoolSize: -1}, "-1 connections"},
		"many sessions":    {addr, relay.Options{Sessions: relay.MaxSessions + 1}, "17 sessions"},
		"negative":         {addr, relay.Options{Sessions: -1}, "-1 sessions"},
		"no port":          {"relay.example.com", relay.Options{}, "missing port"},
		"port a word":      {"relay.example.com:http", relay.Options{}, `"http" is not a port`},
		"nobody there":     {nobody(t), relay.Options{}, "connection refused; check that the relay runs there"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := relay.Listen(t.Context(), c.addr, &c.options)
			if err == nil {
				_ = l.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %q, want one with %q", err, c.says)
			}
		})
	}
}

// fixedKey is a KeyStore with a key that a test knows.
const fixedKey fixedKeys = "LEASEKEYLEASEKEY234567ABCD"

type fixedKeys string

func (k fixedKeys) Key(string) (string, error) { return string(k), nil }

// A peer may be no relay, refuse, say nothing, or send back what it gets.
func TestListenAtSomethingElse(t *testing.T) {
	answer := func(t *testing.T, text string) (addr string) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(conn, text)
				if text != "" {
					_ = conn.(*net.TCPConn).CloseWrite()
				}
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
			}
		}()
		t.Cleanup(func() {
			_ = l.Close()
			<-done
		})
		return l.Addr().String()
	}
	t.Run("web server", func(t *testing.T) {
		_, err := relay.Listen(t.Context(), answer(t, "HTTP/1.1 400 Bad Request\r\n\r\n"), nil)
		if err == nil || !strings.Contains(err.Error(), "not a relay") {
			t.Errorf("error %v, want one that says that this is not a relay", err)
		}
	})
	t.Run("redis", func(t *testing.T) {
		for _, said := range []string{"-ERR unknown command '+token', with args beginning with: %q\r\n", "-err %s\n", "%s\n", "-ERR %.20s\n"} {
			const token = "relay_PFROSMABCDEFGHIJKLMNOPQRST"
			for _, secret := range []string{token, string(fixedKey)} {
				options := &relay.Options{Token: token, Keys: fixedKey}
				_, err := relay.Listen(t.Context(), answer(t, fmt.Sprintf(said, secret)), options)
				if err == nil || strings.Contains(err.Error(), secret[:10]) {
					t.Errorf("%q is answered: error %v, want one without what was sent", said, err)
				}
				if !strings.HasPrefix(said, "-err ") && !strings.Contains(err.Error(), "not a relay") {
					t.Errorf("%q is answered: error %v, want one that says that this is not a relay", said, err)
				}
			}
		}
	})
	t.Run("refusal", func(t *testing.T) {
		_, err := relay.Listen(t.Context(), answer(t, "-no-port all are taken\n"), nil)
		var refused *relay.RefusedError
		if !errors.As(err, &refused) || refused.Code != "no-port" || refused.Text != "all are taken" {
			t.Errorf("error %v, want a RefusedError", err)
		}
	})
	t.Run("refusal with advice", func(t *testing.T) {
		for code, advice := range map[string]string{"superseded": "another name with --name", "name-taken": "another name with --name"} {
			_, err := relay.Listen(t.Context(), answer(t, "-"+code+" somebody else\n"), nil)
			var refused *relay.RefusedError
			if !errors.As(err, &refused) || refused.Text != "somebody else" || !strings.Contains(err.Error(), advice) {
				t.Errorf("%s: error %v, want a RefusedError with %q", code, err, advice)
			}
		}
	})
	t.Run("silence", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		addr := answer(t, "")
		time.AfterFunc(time.Millisecond, cancel)
		if _, err := relay.Listen(ctx, addr, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
	})
}

// Forward lets a connection finish for Drain, and not longer.
func TestForwardDrains(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		for _, finishes := range []bool{true, false} {
			options.Drain = patience
			if !finishes {
				options.Drain = 10 * time.Millisecond
			}
			testDrain(t, options, finishes)
		}
	})
}

func testDrain(t *testing.T, options *relay.Options, finishes bool) {
	r := relaytest.Start(t)
	local, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	finish := make(chan struct{})
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "one ")
		w.(http.Flusher).Flush()
		<-finish
		_, _ = io.WriteString(w, "two")
	})}
	web.SetKeepAlivesEnabled(false)
	go func() { _ = web.Serve(local) }()
	defer web.Close()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	public, done := make(chan net.Addr, 10), make(chan error, 1)
	options.OnRegister = func(addr net.Addr) { public <- addr }
	go func() { done <- relay.Forward(ctx, r.Addr(), local.Addr().String(), options) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + (<-public).String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	cancel()
	if finishes {
		close(finish)
	} else {
		defer close(finish)
	}
	body, err := io.ReadAll(resp.Body)
	if finished := string(body) == "one two" && err == nil; finished != finishes {
		t.Errorf("body %q and %v; to finish: %t", body, err, finishes)
	}
	if err := <-done; err != nil {
		t.Errorf("Forward: %v", err)
	}
}

// The log names a local server that is not running, once for many users.
func TestForwardNamesTheLocalServer(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		r := relaytest.Start(t)
		local := nobody(t)
		var logged syncBuffer
		options.Logger = slog.New(slog.NewJSONHandler(&logged, nil))
		public, done := make(chan net.Addr, 10), make(chan error, 1)
		options.OnRegister = func(addr net.Addr) { public <- addr }
		ctx, cancel := context.WithCancel(t.Context())
		go func() { done <- relay.Forward(ctx, r.Addr(), local, options) }()
		addr := <-public
		for range 3 {
			if err := greeted(addr); err == nil {
				t.Error("greeted by a server that is not there")
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Forward: %v", err)
		}
		if !strings.Contains(logged.String(), "connection refused; check that the local server runs") {
			t.Errorf("the log has no advice:\n%s", logged.String())
		}
		if n := strings.Count(logged.String(), `"local":"`+local); n != 1 {
			t.Errorf("the local server is named %d times, want once:\n%s", n, logged.String())
		}
	})
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
