package relay_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed96252745/relay"
)

// checkerOf returns a forwarder that checks a server.
func checkerOf(t *testing.T, local string, o relay.Options) *relay.Forwarder {
	t.Helper()
	f, err := relay.NewForwarder("127.0.0.1:1", local, &o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A path is healthy if its status is the wanted one, and nobody is redirected.
func TestHealthCheckOfPath(t *testing.T) {
	var conns atomic.Int64
	mux := http.NewServeMux()
	for path, status := range map[string]int{"/ok": 200, "/empty": 204, "/moved": 302, "/busy": 503} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || r.Host == "" || r.ContentLength != 0 {
				t.Errorf("the request is %s of %q with %d bytes", r.Method, r.Host, r.ContentLength)
			}
			w.Header().Set("Location", "/ok")
			w.WriteHeader(status)
		})
	}
	mux.HandleFunc("/early", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusOK)
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
	})
	server := httptest.NewUnstartedServer(mux)
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	local := server.Listener.Addr().String()
	for _, tt := range []struct {
		path   string
		status int
		wrong  string // of the error
	}{
		{"/ok", 0, ""}, {"/empty", 0, ""}, {"/early", 0, ""}, {"/endless", 0, ""}, {"/busy", 503, ""}, {"/moved", 302, ""}, {"/ok?deep=1", 200, ""},
		{"/moved", 0, "/moved has the status 302"}, {"/busy", 0, "status 503"}, {"/none", 0, "status 404"}, {"/ok", 204, "status 200"},
	} {
		before := conns.Load()
		err := checkerOf(t, local, relay.Options{HealthCheck: &relay.HealthCheck{Path: tt.path, Status: tt.status, Timeout: patience}}).CheckHealth(t.Context())
		if tt.wrong == "" && err != nil || tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)) {
			t.Errorf("%s, which has to have %d: %v, want %q", tt.path, tt.status, err, tt.wrong)
		}
		if n := conns.Load() - before; n != 1 {
			t.Errorf("%s: there are %d connections", tt.path, n)
		}
	}
}

// A server that accepts, and does not answer, is not healthy.
func TestHealthCheckTimesOut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // whose backlog accepts
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	local := l.Addr().String()
	if err := checkerOf(t, local, relay.Options{HealthCheck: &relay.HealthCheck{Timeout: patience}}).CheckHealth(t.Context()); err != nil {
		t.Errorf("it accepts: %v", err)
	}
	err = checkerOf(t, local, relay.Options{HealthCheck: &relay.HealthCheck{Path: "/", Timeout: 10 * time.Millisecond}}).CheckHealth(t.Context())
	if !errors.Is(err, context.DeadlineExceeded) || relay.HealthFailure(err) != "timed-out" {
		t.Errorf("it does not answer: %v, %q", err, relay.HealthFailure(err))
	}
}

// What answers with something else than HTTP is not healthy, and is told so in one word.
func TestHealthCheckOfOtherServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "SSH-2.0-server\r\n")
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
	}()
	err = checkerOf(t, l.Addr().String(), relay.Options{HealthCheck: &relay.HealthCheck{Path: "/", Timeout: patience}}).CheckHealth(t.Context())
	if err == nil || relay.HealthFailure(err) != "unhealthy" {
		t.Errorf("got %v, %q", err, relay.HealthFailure(err))
	}
}

// A server that wants PROXY headers gets one from a check, too.
func TestHealthCheckWithProxyHeader(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	first := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		r := bufio.NewReader(c)
		line, _ := r.ReadString('\n')
		first <- line
		if _, err := http.ReadRequest(r); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	}()
	err = checkerOf(t, l.Addr().String(), relay.Options{ProxyProtocol: 1, HealthCheck: &relay.HealthCheck{Path: "/", Timeout: patience}}).CheckHealth(t.Context())
	if line := <-first; err != nil || line != "PROXY UNKNOWN\r\n" {
		t.Errorf("got %q, %v", line, err)
	}
}

func TestBadHealthCheck(t *testing.T) {
	for name, check := range map[string]relay.HealthCheck{
		"path without a slash": {Path: "healthz"},
		"another server":       {Path: "http://example.com/"},
		"with a line end":      {Path: "/a\r\nHost: b"},
		"with a space":         {Path: "/a?b c"},
		"status without path":  {Status: 200},
		"status":               {Path: "/", Status: 99},
		"too often":            {Interval: time.Millisecond},
		"too seldom":           {Interval: 2 * time.Hour},
		"timeout":              {Timeout: -1},
	} {
		if _, err := relay.NewForwarder("127.0.0.1:1", "127.0.0.1:2", &relay.Options{HealthCheck: &check}); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
