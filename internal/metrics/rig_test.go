package metrics_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/metrics"
	"github.com/seed96252745/relay/internal/observe"
)

// node is a relay or a forwarder that is what a test says.
type node struct {
	mu      sync.Mutex
	status  api.Status
	tunnels []api.Tunnel
	limits  []api.Limit
}

func (n *node) Status() api.Status { n.mu.Lock(); defer n.mu.Unlock(); return n.status }
func (n *node) Tunnels() []api.Tunnel {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.tunnels)
}
func (n *node) Limits() []api.Limit { n.mu.Lock(); defer n.mu.Unlock(); return slices.Clone(n.limits) }

// full returns a node of which there is something to say of everything.
func full() *node {
	return &node{
		status: api.Status{
			Started: time.Unix(1700000000, 0), Tunnels: 1, Away: 1, Users: 2, Waiting: 1, Connections: 5, Received: 100, Sent: 200,
			Problems: []api.Problem{{Code: "local_server_down"}},
		},
		tunnels: []api.Tunnel{{
			ID: "a", Port: 20001, Name: "web", Identity: "alice", Protocol: "multiplex", Local: "localhost:80", State: api.Up,
			RoundTripSeconds: 0.02, Probe: &api.Probe{OK: true, TookSeconds: 0.03, DialSeconds: 0.001},
			Users: 2, Waiting: 1, Connections: 5, Received: 100, Sent: 200,
		}, {ID: "b", Port: 20002, State: api.Away}},
		limits: []api.Limit{{Name: "users", Max: -1, Used: 2}, {Name: "users_per_source", Max: 256, Used: -1, Met: 3}},
	}
}

func usage() metrics.Usage {
	return metrics.Usage{Handshakes: 1, Sessions: 1, Buffered: 4096, MaxBuffered: 1 << 30, Descriptors: 6, MaxDescriptors: 1024}
}

// tb is a test, or a run of one with values of package rapid.
type tb interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// get returns what a scrape has, as a client that accepts that.
func get(t tb, m *metrics.Metrics, accept string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w
}

// scrape returns all series of a scrape, by name and labels as they are written.
func scrape(t tb, m *metrics.Metrics) map[string]float64 {
	t.Helper()
	series := make(map[string]float64)
	for line := range strings.Lines(get(t, m, "text/plain").Body.String()) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(strings.TrimSpace(line[at+1:]), 64)
		if err != nil {
			t.Fatal(err)
		}
		series[line[:at]] = value
	}
	return series
}

// expect compares some of the series.
func expect(t *testing.T, got, want map[string]float64) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if value, ok := got[name]; !ok {
			t.Errorf("there is no %s", name)
		} else if value != want[name] {
			t.Errorf("%s is %v, want %v", name, value, want[name])
		}
	}
}

// web is the tunnel of full.
var web = observe.Tunnel{Port: 20001, Name: "web", Identity: "alice", Protocol: "multiplex"}
