package metrics_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/metrics"
	"github.com/seed96252745/relay/internal/observe"
)

func TestFormats(t *testing.T) {
	m := metrics.NewRelay(metrics.Config{Version: "1.2.3", Tunnels: 5})
	m.Watch(full(), usage)
	for accept, want := range map[string]string{
		"": "text/plain; version=0.0.4",
		"application/openmetrics-text;version=1.0.0,text/plain;q=0.5": "application/openmetrics-text; version=1.0.0",
	} {
		w := get(t, m, accept)
		if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, want) {
			t.Errorf("a client that accepts %q gets %q", accept, got)
		}
		if ended := bytes.HasSuffix(w.Body.Bytes(), []byte("# EOF\n")); ended != strings.Contains(want, "openmetrics") {
			t.Errorf("in %s: # EOF is %v", want, ended)
		}
		for _, name := range []string{"relay_build_info{", "go_goroutines", "process_cpu_seconds_total", `version="1.2.3"`} {
			if !strings.Contains(w.Body.String(), name) {
				t.Errorf("in %s there is no %s", want, name)
			}
		}
	}
}

// A name that is no UTF-8 must not cost the scrape.
func TestNamesThatAreNoText(t *testing.T) {
	m := metrics.NewRelay(metrics.Config{Tunnels: 5})
	n := full()
	n.tunnels[0].Name = "\xff"
	m.Watch(n, nil)
	if series := scrape(t, m); series["relay_users_active"] != 2 {
		t.Error("the other metrics are gone")
	}
}

// many is a relay with a thousand tunnels and ten thousand users.
func many() *node {
	n := full()
	n.tunnels = nil
	for i := range 1000 {
		of := api.Tunnel{
			ID: fmt.Sprint(i), Port: 20000 + i, Name: fmt.Sprintf("service-%d", i), Identity: "alice", Protocol: "multiplex", State: api.Up,
			RoundTripSeconds: 0.02, Probe: &api.Probe{OK: true, TookSeconds: 0.03, DialSeconds: 0.001},
			Users: 10, Connections: 1000, Received: 1 << 40, Sent: 1 << 41,
		}
		n.tunnels = append(n.tunnels, of)
	}
	return n
}

// BenchmarkScrape scrapes a relay with a thousand tunnels, of which half have series of
// their own.
func BenchmarkScrape(b *testing.B) {
	m := metrics.NewRelay(metrics.Config{Tunnels: metrics.DefaultTunnels})
	m.Watch(many(), usage)
	for _, encoding := range []string{"identity", "gzip"} {
		b.Run(encoding, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
				r.Header.Set("Accept-Encoding", encoding)
				w := httptest.NewRecorder()
				m.Handler().ServeHTTP(w, r)
				b.ReportMetric(float64(w.Body.Len()), "bytes")
			}
		})
	}
}

// BenchmarkUser counts what a user causes: a join and an end.
func BenchmarkUser(b *testing.B) {
	m := metrics.NewRelay(metrics.Config{Tunnels: metrics.DefaultTunnels})
	m.Watch(many(), usage)
	get(b, m, "text/plain")
	joined := observe.Event{Name: observe.UserJoined, Tunnel: observe.Tunnel{Port: 20007, Name: "service-7", Identity: "alice", Protocol: "multiplex"}}
	done := joined
	done.Name, done.EndedBy, done.How = observe.UserDone, observe.ByUser, observe.Fin
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Sink().Observe(joined)
			m.Sink().Observe(done)
		}
	})
}
