package metrics_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/metrics"
	"github.com/seed96252745/relay/internal/observe"
)

const (
	webLabels  = `{identity="alice",name="web",port="20001",protocol="multiplex"}`
	restLabels = `{identity="",name="",port="other",protocol=""}`
)

func TestSnapshot(t *testing.T) {
	m := metrics.NewRelay(metrics.Config{Version: "1.2.3", Tunnels: 5})
	m.Watch(full(), usage)
	expect(t, scrape(t, m), map[string]float64{
		`relay_start_time_seconds`:                                                 1.7e9,
		`relay_draining`:                                                           0,
		`relay_problems`:                                                           1,
		`relay_users_active`:                                                       2,
		`relay_users_waiting`:                                                      1,
		`relay_users_joined_total`:                                                 5,
		`relay_received_bytes_total`:                                               100,
		`relay_sent_bytes_total`:                                                   200,
		`relay_tunnels{state="up"}`:                                                1,
		`relay_tunnels{state="away"}`:                                              1,
		`relay_tunnels{state="paused"}`:                                            0,
		`relay_limit_used{limit="users"}`:                                          2,
		`relay_limit_max{limit="users_per_source"}`:                                256,
		`relay_limit_met_total{limit="users_per_source"}`:                          3,
		`relay_tunnel_users_active` + webLabels:                                    2,
		`relay_tunnel_received_bytes_total` + webLabels:                            100,
		`relay_tunnel_received_bytes_total` + restLabels:                           0,
		`relay_tunnel_probe_success` + webLabels:                                   1,
		`relay_tunnel_probe_duration_seconds` + webLabels:                          0.03,
		`relay_tunnel_probe_dial_seconds` + webLabels:                              0.001,
		`relay_tunnel_round_trip_seconds` + webLabels:                              0.02,
		`relay_tunnel_state` + strings.TrimSuffix(webLabels, "}") + `,state="up"}`: 1,
		`relay_buffered_bytes`:                                                     4096,
		`relay_descriptors_max`:                                                    1024,
		`relay_multiplex_sessions`:                                                 1,
	})
}

// Users who are joined count with what they have moved so far; when they end, with what
// the event says. The last of a tunnel is seen after it has gone.
func TestTheLastOfATunnelIsCounted(t *testing.T) {
	m := metrics.NewRelay(metrics.Config{Tunnels: 1})
	n := full()
	m.Watch(n, nil)
	m.Sink().Observe(observe.Event{Name: observe.TunnelOpened, Tunnel: web})
	scrape(t, m)
	n.tunnels, n.status.Users, n.status.Received = nil, 0, 170
	m.Sink().Observe(observe.Event{Name: observe.UserDone, Tunnel: web, Received: 170, Sent: 230})
	expect(t, scrape(t, m), map[string]float64{
		`relay_tunnel_received_bytes_total` + webLabels: 170,
		`relay_tunnel_sent_bytes_total` + webLabels:     230,
		`relay_tunnel_users_joined_total` + webLabels:   5,
		`relay_received_bytes_total`:                    170,
		`relay_sent_bytes_total`:                        230,
	})
	for name := range scrape(t, m) {
		if strings.HasPrefix(name, "relay_tunnel_state{") || name == "relay_tunnel_users_active"+webLabels {
			t.Errorf("a tunnel that is gone has %s", name)
		}
	}
}

// A lease that is away goes on with the series of its last tunnel.
func TestALeaseThatIsAway(t *testing.T) {
	m := metrics.NewRelay(metrics.Config{Tunnels: 5})
	n := full()
	m.Watch(n, nil)
	scrape(t, m)
	n.tunnels[0].State, n.tunnels[0].Protocol = api.Away, ""
	expect(t, scrape(t, m), map[string]float64{
		`relay_tunnel_received_bytes_total` + webLabels:                              100,
		`relay_tunnel_state` + strings.TrimSuffix(webLabels, "}") + `,state="away"}`: 1,
	})
	for name := range scrape(t, m) {
		if strings.Contains(name, `port="20002"`) {
			t.Errorf("a lease that nobody has served since the start has %s", name)
		}
	}
}

// The members of a group are counted as one, over whichever protocols they come.
func TestGroupHasSeriesTogether(t *testing.T) {
	m := metrics.NewRelay(metrics.Config{Tunnels: 5})
	n := &node{}
	m.Watch(n, nil)
	for i, protocol := range []string{"pool", "event", "pool"} {
		of := observe.Tunnel{ID: 1, Port: 20001, Name: "web", Identity: "alice", Group: "web", Protocol: protocol}
		m.Sink().Observe(observe.Event{Name: observe.TunnelOpened, Tunnel: of})
		m.Sink().Observe(observe.Event{Name: observe.UserJoined, Tunnel: of})
		m.Sink().Observe(observe.Event{Name: observe.UserDone, Tunnel: of, Received: 10})
		n.tunnels = []api.Tunnel{{
			ID: "a", Port: 20001, Name: "web", Identity: "alice", Group: "web", Protocol: protocol, State: api.Up,
			Connections: int64(i + 1), Received: int64(10 * (i + 1)),
		}}
		scrape(t, m)
	}
	n.tunnels[0].State, n.tunnels[0].Protocol = api.Away, ""
	const labels = `{identity="alice",name="web",port="20001",protocol="group"}`
	got := scrape(t, m)
	expect(t, got, map[string]float64{
		`relay_tunnel_users_joined_total` + labels:    3,
		`relay_tunnel_received_bytes_total` + labels:  30,
		`relay_tunnels_opened_total{protocol="pool"}`: 2,
	})
	for name := range got {
		if strings.Contains(name, `port="20001"`) && !strings.Contains(name, `protocol="group"`) {
			t.Errorf("the group has %s", name)
		}
	}
}

// A port keeps its ID and its numbers when its relay client comes back over another
// protocol, and while it registers anew. Nobody is counted twice for that.
func TestAnotherProtocol(t *testing.T) {
	m := metrics.NewRelay(metrics.Config{Tunnels: 5})
	n := &node{}
	m.Watch(n, nil)
	tunnel := api.Tunnel{ID: "a", Port: 20001, Name: "web", Identity: "alice", State: api.Up}
	var got map[string]float64
	for _, protocol := range []string{"", "multiplex", "pool", "multiplex", "", "multiplex", "", "pool"} {
		tunnel.Protocol, tunnel.State = protocol, api.Up
		if protocol == "" {
			tunnel.State = api.Connecting
		}
		for range 2 {
			n.tunnels, n.status.Connections = []api.Tunnel{tunnel}, tunnel.Connections
			got = scrape(t, m)
			sum := 0.0
			for name, value := range got {
				if strings.HasPrefix(name, "relay_tunnel_users_joined_total{") {
					sum += value
				}
			}
			if total := got["relay_users_joined_total"]; sum != total {
				t.Errorf("over %q: the tunnels have had %v users, and all together %v", protocol, sum, total)
			}
			if protocol != "" {
				tunnel.Connections++
			}
		}
	}
	for name := range got {
		if strings.Contains(name, `port="20001",protocol=""`) {
			t.Errorf("nobody serves without a protocol: %s", name)
		}
	}
}

// A tunnel keeps its place. One that finds none is in the rest until a tunnel has been gone
// for long enough.
func TestPlaces(t *testing.T) {
	now := time.Now()
	m := metrics.NewRelay(metrics.Config{Tunnels: 2})
	m.SetNow(func() time.Time { return now })
	n := &node{}
	m.Watch(n, nil)
	shown := func() string {
		var ports []string
		for name := range scrape(t, m) {
			if port, ok := strings.CutPrefix(name, `relay_tunnel_users_joined_total{identity="",name="",port="`); ok {
				ports = append(ports, port[:strings.IndexByte(port, '"')])
			}
		}
		return strings.Join(slices.Sorted(slices.Values(ports)), " ")
	}
	tunnel := func(port int) api.Tunnel {
		return api.Tunnel{ID: fmt.Sprint(port), Port: port, Protocol: "pool", State: api.Unknown, Connections: 1}
	}
	a, b, c := tunnel(1), tunnel(2), tunnel(3)
	for _, step := range []struct {
		there []api.Tunnel
		later time.Duration
		want  string
	}{
		{[]api.Tunnel{b, c}, 0, "2 3 other"},
		{[]api.Tunnel{a, b, c}, 0, "2 3 other"},
		{[]api.Tunnel{a, c}, 0, "2 3 other"},                    // port 2 has left, and its last is still shown
		{[]api.Tunnel{a, c}, metrics.KeepGone - 1, "2 3 other"}, // not for long enough
		{[]api.Tunnel{a, b, c}, metrics.KeepGone, "2 3 other"},  // it is back
		{[]api.Tunnel{a, c}, 0, "2 3 other"},                    // and leaves again
		{[]api.Tunnel{a, c}, metrics.KeepGone, "1 3 other"},
		{[]api.Tunnel{a, b, c}, metrics.KeepGone, "1 3 other"},
	} {
		now = now.Add(step.later)
		n.tunnels = step.there
		n.status.Connections = 3
		if got := shown(); got != step.want {
			t.Fatalf("with %d tunnels: %s, want %s", len(step.there), got, step.want)
		}
	}
}

// A tunnel loses its place, and has one again before the next scrape: its series goes on.
func TestPlaceIsGivenAndHadBack(t *testing.T) {
	now := time.Now()
	m := metrics.NewRelay(metrics.Config{Tunnels: 2})
	m.SetNow(func() time.Time { return now })
	n := &node{}
	m.Watch(n, nil)
	tunnel := func(port int) api.Tunnel {
		return api.Tunnel{ID: fmt.Sprint(port), Port: port, Protocol: "pool", State: api.Up, Connections: 1}
	}
	scraped := func(there ...api.Tunnel) map[string]float64 {
		n.tunnels, n.status.Connections = there, 2
		return scrape(t, m)
	}
	opened := func(port int) {
		m.Sink().Observe(observe.Event{Name: observe.TunnelOpened, Tunnel: observe.Tunnel{Port: port, Protocol: "pool"}})
	}
	const series = `relay_tunnel_users_joined_total{identity="",name="",port="2",protocol="pool"}`
	scraped(tunnel(1), tunnel(2))
	scraped(tunnel(1)) // port 2 has gone
	now = now.Add(time.Second)
	if got := scraped()[series]; got != 1 {
		t.Fatalf("after the tunnel has gone the series is at %v, want 1", got)
	}
	now = now.Add(metrics.KeepGone)
	opened(3) // in the place of port 2
	opened(2) // in that of port 1
	all := scraped()
	if got := all[series]; got != 1 {
		t.Errorf("the series went from 1 to %v", got)
	}
	if got := all["relay_users_joined_total"]; got != 2 {
		t.Errorf("%v users in all, want 2", got)
	}
}

// world is tunnels that come and go, with users.
type world struct {
	*node
	m      *metrics.Metrics
	now    time.Time
	nextID int
	open   map[int]*api.Tunnel     // by port
	live   map[int][]observe.Event // what users of a port have moved so far
	shown  map[string]float64
}

func (w *world) snapshot() {
	w.tunnels = w.tunnels[:0]
	for _, port := range slices.Sorted(maps.Keys(w.open)) {
		w.tunnels = append(w.tunnels, *w.open[port])
	}
}

func about(t *api.Tunnel) observe.Tunnel {
	return observe.Tunnel{Port: t.Port, Name: t.Name, Protocol: t.Protocol}
}

// Whatever comes and goes: no series ever goes backwards, and the total is exact.
func TestCountersNeverGoBackwards(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{node: &node{}, now: time.Now(), open: make(map[int]*api.Tunnel), live: make(map[int][]observe.Event)}
		w.m = metrics.NewRelay(metrics.Config{Tunnels: 3})
		w.m.SetNow(func() time.Time { return w.now })
		w.m.Watch(w, nil)
		port := rapid.IntRange(1, 6)
		t.Repeat(map[string]func(*rapid.T){
			"open": func(t *rapid.T) {
				p := port.Draw(t, "port")
				if w.open[p] == nil {
					w.nextID++
					w.open[p] = &api.Tunnel{ID: fmt.Sprint(w.nextID), Port: p, State: api.Up}
				}
				w.open[p].Protocol = rapid.SampledFrom([]string{"pool", "event"}).Draw(t, "protocol")
				w.m.Sink().Observe(observe.Event{Name: observe.TunnelOpened, Tunnel: about(w.open[p])})
			},
			"close": func(t *rapid.T) { delete(w.open, port.Draw(t, "port")) },
			"join": func(t *rapid.T) {
				of := w.open[port.Draw(t, "port")]
				if of == nil {
					return
				}
				of.Connections++
				w.status.Connections++
				w.live[of.Port] = append(w.live[of.Port], observe.Event{Name: observe.UserDone, Tunnel: about(of)})
				w.m.Sink().Observe(observe.Event{Name: observe.UserJoined, Tunnel: about(of)})
			},
			"move": func(t *rapid.T) {
				p := port.Draw(t, "port")
				if len(w.live[p]) == 0 {
					return
				}
				n := rapid.Int64Range(1, 1000).Draw(t, "bytes")
				w.live[p][0].Received += n
				w.status.Received += n
				if of := w.open[p]; of != nil {
					of.Received += n
				}
			},
			"leave": func(t *rapid.T) {
				p := port.Draw(t, "port")
				if len(w.live[p]) == 0 {
					return
				}
				w.m.Sink().Observe(w.live[p][0])
				w.live[p] = w.live[p][1:]
			},
			"wait":   func(*rapid.T) { w.now = w.now.Add(metrics.KeepGone) },
			"scrape": w.check,
		})
	})
}

func (w *world) check(t *rapid.T) {
	w.snapshot()
	series := scrape(t, w.m)
	for name, before := range w.shown {
		if now, ok := series[name]; ok && now < before && strings.Contains(name, "_total") {
			t.Fatalf("%s went from %v to %v", name, before, now)
		}
	}
	w.shown = series
	if got := series["relay_received_bytes_total"]; got != float64(w.status.Received) {
		t.Fatalf("%v bytes in all, want %v", got, w.status.Received)
	}
}

// Events come while tunnels come and go and somebody scrapes.
func TestEventsDuringScrapes(t *testing.T) {
	const opened, each = 8, 200
	m := metrics.NewRelay(metrics.Config{Tunnels: 4})
	n := &node{}
	m.Watch(n, usage)
	var users sync.WaitGroup
	for port := range opened {
		users.Go(func() {
			of := observe.Tunnel{Port: 1 + port, Protocol: "pool"}
			m.Sink().Observe(observe.Event{Name: observe.TunnelOpened, Tunnel: of})
			for range each {
				m.Sink().Observe(observe.Event{Name: observe.UserJoined, Tunnel: of})
				m.Sink().Observe(observe.Event{Name: observe.UserDone, Tunnel: of, EndedBy: observe.ByUser, How: observe.Fin, Received: 1})
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		users.Wait()
		close(ended)
	}()
	for scraping := true; scraping; {
		select {
		case <-ended:
			scraping = false
		default:
		}
		scrape(t, m)
	}
	got, sum := scrape(t, m), 0.0
	for name, value := range got {
		if strings.HasPrefix(name, "relay_tunnel_received_bytes_total{") {
			sum += value
		}
	}
	if sum != opened*each {
		t.Errorf("all tunnels together have %v bytes, want %d", sum, opened*each)
	}
	expect(t, got, map[string]float64{
		`relay_received_bytes_total`:                         opened * each,
		`relay_users_joined_total`:                           opened * each,
		`relay_connections_total{ended_by="user",how="fin"}`: opened * each,
		`relay_user_wait_seconds_count`:                      opened * each,
	})
}
