package relay_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/relaytest"
)

// unixPath returns a path for a socket that is short enough on every system.
func unixPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "relay")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func listenUnix(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// A health check of a server behind a Unix socket is like that of any other, with a host that
// servers know.
func TestHealthCheckOfUnixSocket(t *testing.T) {
	path := unixPath(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "localhost" {
			t.Errorf("the request is for the host %q", r.Host)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	_ = server.Listener.Close()
	server.Listener = listenUnix(t, path)
	server.Start()
	for _, check := range []relay.HealthCheck{{}, {Path: "/up", Status: http.StatusNoContent}} {
		check.Timeout = patience
		if err := checkerOf(t, "unix:"+path, relay.Options{HealthCheck: &check}).CheckHealth(t.Context()); err != nil {
			t.Errorf("%+v: %v", check, err)
		}
	}
	server.Close()
	if err := checkerOf(t, "unix:"+path, relay.Options{HealthCheck: &relay.HealthCheck{}}).CheckHealth(t.Context()); err == nil {
		t.Error("a server that is gone is healthy")
	}
}

// A server behind a Unix socket gets the PROXY header, and the forwarder's state and log call
// it as the caller does.
func TestForwardToUnixSocket(t *testing.T) {
	path := unixPath(t)
	r := relaytest.Start(t)
	public := make(chan string, 1)
	f, err := relay.NewForwarder(r.Addr(), "unix:"+path, &relay.Options{
		ProxyProtocol: 1, Probe: relay.ProbeSession, OnRegister: func(a net.Addr) { public <- a.String() },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- f.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	}()
	l := listenUnix(t, path)
	user, err := net.Dial("tcp", <-public)
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	_ = server.SetDeadline(time.Now().Add(patience))
	line, err := bufio.NewReader(server).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "PROXY TCP4 127.0.0.1 127.0.0.1 ") {
		t.Errorf("the server got %q, %v", line, err)
	}
	if s := f.State().LocalServer; s.Addr != "unix:"+path || s.Err != nil || s.Tried.IsZero() {
		t.Errorf("the state of the local server is %+v", s)
	}
}

func TestForwardToNonsense(t *testing.T) {
	for _, local := range []string{"", "22", "unix:", "unix:@", "unix:/" + strings.Repeat("a", 200)} {
		if _, err := relay.NewForwarder("127.0.0.1:1", local, nil); err == nil || !strings.Contains(err.Error(), "address of the local server") {
			t.Errorf("%q: %v", local, err)
		}
	}
}
