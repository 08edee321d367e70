//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// asked is a server on a unix socket that notes what it is asked.
type asked struct {
	socket string
	mu     sync.Mutex // guards what follows
	paths  []string
}

func (a *asked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.paths = append(a.paths, r.URL.String())
	a.mu.Unlock()
	if r.URL.Path == apiPath+"tunnels" {
		_, _ = io.WriteString(w, `[{"id":"t7"},{"id":"t8"}]`)
	}
}

func (a *asked) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	paths := a.paths
	a.paths = nil
	return paths
}

func newAsked(t *testing.T) *asked {
	t.Helper()
	a := &asked{socket: filepath.Join(t.TempDir(), "s")}
	l, err := net.Listen("unix", a.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(a)
	_ = server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	return a
}

// TestWatcher has a watcher ask what Prometheus and the page of the first tunnel ask.
func TestWatcher(t *testing.T) {
	a := newAsked(t)
	w := newWatcher(a.socket)
	defer w.client.CloseIdleConnections()
	for range 2 {
		if err := w.page(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := w.scrape(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []string{"/api/v1/status", "/api/v1/tunnels", "/api/v1/users?limit=10000&tunnel=t7", "/metrics"}
		if got := a.take(); !slices.Equal(got, want) {
			t.Errorf("asked for %q, want %q", got, want)
		}
	}
}

// TestReaderComesBack has the relay cut off the reader of its events, who reads nothing and
// comes back.
func TestReaderComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	w := newWatcher(path)
	for range 2 {
		if err := w.keepReader(t.Context()); err != nil {
			t.Fatal(err)
		}
		reader := w.reader
		relay, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprint(relay, "events"); err != nil {
			t.Fatal(err)
		}
		if err := w.keepReader(t.Context()); err != nil || w.reader != reader {
			t.Fatalf("a reader with something to read: %v, another one: %t", err, w.reader != reader)
		}
		if err := relay.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.reader.Close(); err != nil {
		t.Error(err)
	}
}

// TestCompareBuilds has a round that was slow for both builds, and one contender alone.
func TestCompareBuilds(t *testing.T) {
	rates := func(name string, rates ...float64) row {
		r := row{Contender: name, Relay: true, Median: figures{"rate": median(rates)}}
		for _, rate := range rates {
			r.Rounds = append(r.Rounds, figures{"rate": rate})
		}
		return r
	}
	s := scenarioReport{
		Columns: []column{{"rate", "connections/s", 0, more}, {"free", "not compared", 0, ""}},
		Rows:    []row{rates("before-pool", 100, 10, 100), rates("relay-pool", 99, 9.7, 50), rates("relay-event", 1, 1, 1)},
	}
	all := s.compare()
	if len(all) != 1 || len(all[0].rows) != 1 || all[0].rows[0].Contender != "relay-pool" || len(all[0].columns) != 1 {
		t.Fatalf("comparisons: %+v", all)
	}
	if got := all[0].cell(all[0].rows[0], s.Columns[0]); got != "0.970 (0.50–0.99)" {
		t.Errorf("the ratio is %s", got)
	}
}
