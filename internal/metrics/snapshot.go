package metrics

import (
	"math"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/seed96252745/relay/internal/api"
)

// Usage is what a process holds beside what its Node tells.
type Usage struct {
	Handshakes int // connections to the control port that have not sent their request yet
	Delayed    int // that wait for their refusal
	Ports      int // public, that are open
	Sessions   int // of multiplex
	Idle       int // connections of pools without a user

	Buffered, MaxBuffered       int64 // bytes held for users who do not read
	Descriptors, MaxDescriptors int   // of the budget
	Stalled, MaxStalled         int64 // joins whose receiver takes nothing
	ShutOut                     int64 // connections of banned sources, since the start
	Shortages                   int64 // accepts that failed for want of descriptors or memory
	LogLines                    int64 // lines that were left out of the log
}

// family is the metrics of one name.
type family struct {
	desc    *prometheus.Desc
	counter bool
}

// sample is one metric of a scrape. Its labels are shared, and sorted by name.
type sample struct {
	*family
	labels []*dto.LabelPair
	value  float64
}

// Desc implements prometheus.Metric.
func (s *sample) Desc() *prometheus.Desc { return s.desc }

// Write implements prometheus.Metric.
func (s *sample) Write(m *dto.Metric) error {
	m.Label = s.labels
	if s.counter {
		m.Counter = &dto.Counter{Value: &s.value}
	} else {
		m.Gauge = &dto.Gauge{Value: &s.value}
	}
	return nil
}

// snapshot is a prometheus.Collector of what a node says when it is asked.
type snapshot struct {
	prefix  string
	kind    *kind
	tunnels *tunnels
	all     []*family
	families

	mu     sync.Mutex // guards what follows
	node   Node
	usage  func() Usage
	before map[string]last // of the last snapshot
	total  count           // shown last
	rest   count           // likewise, of tunnels without places
	size   int             // how many samples there were
}

func newSnapshot(prefix string, kind *kind, tunnels *tunnels) *snapshot {
	s := &snapshot{prefix: prefix, kind: kind, tunnels: tunnels, before: make(map[string]last)}
	s.families = s.newFamilies()
	return s
}

func (s *snapshot) gauge(name, help string, labels ...string) *family {
	f := &family{desc: prometheus.NewDesc(s.prefix+name, help, labels, nil), counter: strings.HasSuffix(name, "_total")}
	s.all = append(s.all, f)
	return f
}

func (s *snapshot) watch(node Node, usage func() Usage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.node, s.usage = node, usage
}

// Describe implements prometheus.Collector.
func (s *snapshot) Describe(to chan<- *prometheus.Desc) {
	for _, f := range s.all {
		to <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (s *snapshot) Collect(to chan<- prometheus.Metric) {
	samples := s.collect()
	for i := range samples {
		to <- &samples[i]
	}
}

// collect returns all samples. Scrapes take turns.
func (s *snapshot) collect() []sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node == nil {
		return nil
	}
	c := collection{snapshot: s, samples: make([]sample, 0, s.size)}
	all := s.tunnels.all.count() // the total before its parts, of which the rest is the difference
	status := s.node.Status()
	s.total = s.total.most(all).most(count{connections: status.Connections, received: status.Received, sent: status.Sent})
	snapshot := s.node.Tunnels()
	c.status(&status)
	c.states(snapshot)
	counted, rest := s.tunnels.update(snapshot, s.before, s.kind.keyOf, c.place)
	s.rest = s.rest.most(s.total.minus(counted))
	c.others(rest)
	c.limits(s.node.Limits())
	if s.usage != nil {
		c.usage(s.usage())
	}
	s.size = len(c.samples)
	return c.samples
}

// collection is one scrape.
type collection struct {
	*snapshot
	samples []sample
}

func (c *collection) add(f *family, value float64, labels []*dto.LabelPair) {
	c.samples = append(c.samples, sample{f, labels, value})
}

// place adds the series of a tunnel that has a place.
func (c *collection) place(p *place) {
	c.counts(p.shown, p.labels)
	t := p.now
	if t == nil {
		return
	}
	c.add(c.tunnelUsers, float64(t.Users), p.labels)
	c.add(c.tunnelWaiting, float64(t.Waiting), p.labels)
	c.add(c.tunnelState, 1, p.labelsOf(t.State))
	if t.RoundTripSeconds > 0 {
		c.add(c.tunnelRoundTrip, t.RoundTripSeconds, p.labels)
	}
	if t.Probe == nil {
		return
	}
	c.add(c.probeSuccess, number(t.Probe.OK), p.labels)
	c.add(c.probeTook, t.Probe.TookSeconds, p.labels)
	if t.Probe.DialSeconds > 0 {
		c.add(c.probeDial, t.Probe.DialSeconds, p.labels)
	}
}

// labelsOf returns the labels of a state of the tunnel.
func (p *place) labelsOf(state api.State) []*dto.LabelPair {
	if p.state != state || p.stateLabels == nil {
		p.state = state
		p.stateLabels = append(p.labels[:len(p.labels):len(p.labels)], pairs([]string{"state"}, []string{string(state)})...)
	}
	return p.stateLabels
}

// others adds the series of all tunnels without a place.
func (c *collection) others(now others) {
	labels := pairs(c.kind.names, c.kind.rest)
	c.counts(c.rest, labels)
	c.add(c.tunnelUsers, float64(now.users), labels)
	c.add(c.tunnelWaiting, float64(now.waiting), labels)
}

func (c *collection) counts(n count, labels []*dto.LabelPair) {
	c.add(c.tunnelConnections, float64(n.connections), labels)
	c.add(c.tunnelReceived, float64(n.received), labels)
	c.add(c.tunnelSent, float64(n.sent), labels)
	c.add(c.tunnelResets, float64(n.resets), labels)
}

// limits adds what is used of each limit.
func (c *collection) limits(all []api.Limit) {
	for _, l := range all {
		labels := pairs([]string{"limit"}, []string{l.Name})
		most := float64(l.Max)
		if l.Max < 0 {
			most = math.Inf(1)
		}
		c.add(c.limitMax, most, labels)
		c.add(c.limitMet, float64(l.Met), labels)
		if l.Used >= 0 {
			c.add(c.limitUsed, float64(l.Used), labels)
		}
	}
}

// bound returns a bound, or +Inf for none.
func bound(n int64) float64 {
	if n < 0 || n == math.MaxInt64 {
		return math.Inf(1)
	}
	return float64(n)
}

// seconds returns a time of day as Prometheus has it.
func seconds(at time.Time) float64 { return at.Sub(time.Unix(0, 0)).Seconds() }

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
