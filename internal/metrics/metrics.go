// Package metrics shows Prometheus how a relay or a forwarder does. [Metrics] has a sink
// of events, which it counts, and looks at a snapshot of the node each time that it is scraped.
//
// The names of a relay begin with relay_, and those of a forwarder with relay_forwarder_.
// A user is seen by both, and Prometheus' rule is that the sum over all series of one name
// means something.
//
// Times are counted in classic histograms: their memory is bounded, counting one takes no
// allocation, and every version of Prometheus and all that read its format take them.
// Native ones have neither of these properties.
//
// docs/how-to/metrics.md lists all metrics, and a test compares the two.
package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/observe"
)

// DefaultTunnels is how many tunnels have series of their own by default. Each takes about
// ten, and a Prometheus is at ease with some thousands from one process.
const DefaultTunnels = 500

// maxScrapes is how many scrapes are answered at a time: two servers for each other's
// failure, and as many people.
const maxScrapes = 4

// Config is what metrics are made of.
type Config struct {
	Version string
	// Tunnels is how many tunnels have series of their own. The others are summed up.
	Tunnels int
	// Logger hears of scrapes that fail. Nil discards that.
	Logger *slog.Logger
}

// Node is what is scraped. An admin.Node is one.
type Node interface {
	Status() api.Status
	Tunnels() []api.Tunnel
	Limits() []api.Limit
}

// Metrics are the metrics of one relay or forwarder, in a registry of their own. Make them
// with NewRelay or NewForwarder. The methods may be called concurrently.
type Metrics struct {
	sink     observe.Sink
	tunnels  *tunnels
	registry *prometheus.Registry
	snapshot *snapshot
	handler  http.Handler
}

// NewRelay returns metrics of a relay.
func NewRelay(c Config) *Metrics {
	const prefix = "relay_"
	tunnels := newTunnels(c.Tunnels, ofRelay.labels)
	m := newMetrics(c, newSnapshot(prefix, &ofRelay, tunnels))
	m.tunnels = tunnels
	m.sink = newRelayEvents(factory{prefix, m.registry}, tunnels)
	return m
}

// NewForwarder returns metrics of a forwarder.
func NewForwarder(c Config) *Metrics {
	const prefix = "relay_forwarder_"
	tunnels := newTunnels(c.Tunnels, ofForwarder.labels)
	m := newMetrics(c, newSnapshot(prefix, &ofForwarder, tunnels))
	m.tunnels = tunnels
	m.sink = newForwarderEvents(factory{prefix, m.registry}, tunnels)
	return m
}

func newMetrics(c Config, s *snapshot) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), snapshot: s}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: s.prefix + "build_info", Help: "1, with the version in the labels.",
		ConstLabels: prometheus.Labels{"version": c.Version, "goversion": runtime.Version(), "goos": runtime.GOOS, "goarch": runtime.GOARCH},
	})
	build.Set(1)
	m.registry.MustRegister(build, s, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:            failures{c.Logger},
		ErrorHandling:       promhttp.ContinueOnError, // what can be shown is worth more than none
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: maxScrapes,
	})
	return m
}

// Watch has node shown from now on. Usage returns what it does not tell; nil is nothing.
func (m *Metrics) Watch(node Node, usage func() Usage) { m.snapshot.watch(node, usage) }

// SetTunnels changes how many tunnels have series of their own. Tunnels that have them keep
// them.
func (m *Metrics) SetTunnels(n int) { m.tunnels.setMost(n) }

// Sink returns the sink that counts events. It allocates nothing, and takes no lock, but for
// events of tunnels that begin. Metrics is no Sink itself, which would copy each event once
// more.
func (m *Metrics) Sink() observe.Sink { return m.sink }

// Handler returns the handler of /metrics. It answers in Prometheus' text format, or in
// OpenMetrics where the client prefers that.
func (m *Metrics) Handler() http.Handler { return m.handler }

// failures logs scrapes that fail.
type failures struct{ log *slog.Logger }

// Println implements promhttp.Logger.
func (f failures) Println(v ...any) {
	if f.log != nil {
		f.log.Log(context.Background(), slog.LevelError, "metrics cannot all be shown", "error", fmt.Sprint(v...))
	}
}

// factory makes and registers metrics whose names have a prefix.
type factory struct {
	prefix   string
	registry *prometheus.Registry
}

func (f factory) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: f.prefix + name, Help: help})
	f.registry.MustRegister(c)
	return c
}

func (f factory) vec(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: f.prefix + name, Help: help}, labels)
	f.registry.MustRegister(v)
	return v
}

func (f factory) histogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: f.prefix + name, Help: help, Buckets: buckets})
	f.registry.MustRegister(h)
	return h
}
