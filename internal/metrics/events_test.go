package metrics_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/metrics"
	"github.com/seed96252745/relay/internal/observe"
)

func TestEventsOfRelay(t *testing.T) {
	m := metrics.NewRelay(metrics.Config{Version: "1.2.3", Tunnels: 5})
	for _, e := range []observe.Event{
		{Name: observe.TunnelOpened, Tunnel: web},
		{Name: observe.UserJoined, Tunnel: web, Waited: 2 * time.Millisecond},
		{Name: observe.UserDone, Tunnel: web, EndedBy: observe.ByUser, How: observe.Fin, Duration: 3 * time.Second, Received: 10, Sent: 20},
		{Name: observe.UserDone, Tunnel: web, EndedBy: "nobody", How: "never"},
		{Name: observe.UserReset, Tunnel: observe.Tunnel{Port: 20001}, Reason: observe.WaitTimeout},
		{Name: observe.UserReset, Tunnel: observe.Tunnel{Port: 20001}, Reason: observe.LimitMet, Limit: "usersPerSource"},
		{Name: observe.UsersLimited, Tunnel: web, Limit: "usersPerSecond", Delayed: 7},
		{Name: observe.TunnelStateChanged, Tunnel: web, From: observe.Up, To: observe.Silent},
		{Name: observe.TunnelClosed, Tunnel: web, Reason: observe.RelayClientLost},
		{Name: observe.LeaseEnded, Reason: observe.LeaseExpired},
		{Name: observe.LeasePassed},
		{Name: observe.RequestRefused, Code: "unauthorized"},
		{Name: observe.RequestRefused, Claim: true, Reason: observe.UnknownID},
		{Name: observe.HandshakeFailed, Reason: observe.NotARequest},
		{Name: observe.HandshakesLimited, Limit: "handshakesPerSource"},
		{Name: observe.ProxyHeaderFailed, Reason: observe.NoProxyHeader},
		{Name: observe.SourceBanned},
		{Name: observe.Panicked},
	} {
		m.Sink().Observe(e)
	}
	expect(t, scrape(t, m), map[string]float64{
		`relay_tunnels_opened_total{protocol="multiplex"}`:                         1,
		`relay_user_wait_seconds_bucket{le="0.001"}`:                               0,
		`relay_user_wait_seconds_bucket{le="0.0025"}`:                              1,
		`relay_connections_total{ended_by="user",how="fin"}`:                       1,
		`relay_connections_total{ended_by="server",how="reset"}`:                   0,
		`relay_connections_total{ended_by="nobody",how="never"}`:                   1,
		`relay_connection_duration_seconds_sum`:                                    3,
		`relay_user_resets_total{reason="wait_timeout"}`:                           1,
		`relay_user_resets_total{reason="limit"}`:                                  1,
		`relay_users_limited_total{limit="users_per_source"}`:                      1,
		`relay_users_delayed_total`:                                                7,
		`relay_tunnel_state_changes_total{state="relay_client_silent"}`:            1,
		`relay_tunnels_closed_total{reason="relay_client_lost"}`:                   1,
		`relay_leases_ended_total{reason="lease_expired"}`:                         1,
		`relay_leases_passed_total`:                                                1,
		`relay_requests_refused_total{code="unauthorized",request="registration"}`: 1,
		`relay_requests_refused_total{code="unknown_id",request="claim"}`:          1,
		`relay_handshakes_failed_total{reason="not_a_request"}`:                    1,
		`relay_handshakes_limited_total{limit="handshakes_per_source"}`:            1,
		`relay_proxy_headers_failed_total{reason="no_proxy_header"}`:               1,
		`relay_sources_banned_total`:                                               1,
		`relay_panics_total`:                                                       1,
	})
}

func TestEventsOfForwarder(t *testing.T) {
	m := metrics.NewForwarder(metrics.Config{})
	m.Sink().Observe(observe.Event{Name: observe.UserDone, EndedBy: observe.ByServer, How: observe.Reset, DialTime: 30 * time.Millisecond})
	m.Sink().Observe(observe.Event{Name: observe.UserReset, Reason: observe.DialFailed})
	m.Sink().Observe(observe.Event{Name: observe.TunnelOpened})
	m.Sink().Observe(observe.Event{Name: observe.TunnelClosed, Reason: observe.RelayLost})
	m.Sink().Observe(observe.Event{Name: observe.RegistrationFailed})
	m.Sink().Observe(observe.Event{Name: observe.RequestRefused, Code: "no-port"})
	m.Sink().Observe(observe.Event{Name: observe.RequestRefused, Code: "word-of-a-hostile-relay"})
	m.Sink().Observe(observe.Event{Name: observe.UsersLimited, Limit: "users", Reset: 1}) // which the relay counts
	got := scrape(t, m)
	expect(t, got, map[string]float64{
		`relay_forwarder_connections_total{ended_by="server",how="reset"}`: 1,
		`relay_forwarder_local_dial_seconds_bucket{le="0.025"}`:            0,
		`relay_forwarder_local_dial_seconds_bucket{le="0.05"}`:             1,
		`relay_forwarder_user_resets_total{reason="dial_failed"}`:          1,
		`relay_forwarder_tunnels_opened_total`:                             1,
		`relay_forwarder_tunnels_closed_total{reason="relay_lost"}`:        1,
		`relay_forwarder_tunnels_closed_total{reason="registered_anew"}`:   0,
		`relay_forwarder_registrations_failed_total`:                       1,
		`relay_forwarder_requests_refused_total{code="no-port"}`:           1,
		`relay_forwarder_requests_refused_total{code="other"}`:             1,
	})
	for name := range got {
		if strings.Contains(name, "hostile") {
			t.Errorf("a relay has made the series %s", name)
		}
		if strings.HasPrefix(name, "relay_") && !strings.HasPrefix(name, "relay_forwarder_") {
			t.Errorf("%s has the name of a relay's", name)
		}
	}
}

// Events come on the goroutines that serve users.
func TestAnEventAllocatesNothing(t *testing.T) {
	relay, forwarder := metrics.NewRelay(metrics.Config{Tunnels: 5}), metrics.NewForwarder(metrics.Config{Tunnels: 5})
	relay.Sink().Observe(observe.Event{Name: observe.TunnelOpened, Tunnel: web})
	for _, e := range []observe.Event{
		{Name: observe.UserJoined, Tunnel: web, Waited: time.Millisecond},
		{Name: observe.UserDone, Tunnel: web, EndedBy: observe.ByRelayClient, How: observe.Lost, DialTime: 1, Received: 1 << 40, Sent: 1, Duration: time.Hour},
		{Name: observe.UserDone, Tunnel: observe.Tunnel{Port: 1}, EndedBy: observe.ByRelay, How: observe.Drain},
		{Name: observe.UserReset, Tunnel: observe.Tunnel{Port: 20001}, Reason: observe.LimitMet, Limit: "usersPerSecond"},
		{Name: observe.UserReset, Reason: observe.DialFailed},
		{Name: observe.RequestRefused, Claim: true, Reason: observe.LateClaim},
		{Name: observe.HandshakeFailed, Reason: observe.HandshakeEnded},
	} {
		for of, m := range map[string]*metrics.Metrics{"relay": relay, "forwarder": forwarder} {
			if e.Reason == observe.DialFailed && of == "relay" {
				continue // which never has it
			}
			if n := testing.AllocsPerRun(100, func() { m.Sink().Observe(e) }); n != 0 {
				t.Errorf("%s: %s %s allocates %v times", of, e.Name, e.Reason, n)
			}
		}
	}
}

// Each reason and each way to end is shown as 0 before it is met: a first one that comes
// with 1 is no increase to Prometheus.
func TestEveryReasonIsShown(t *testing.T) {
	relay, forwarder := metrics.NewRelay(metrics.Config{Tunnels: 5}), metrics.NewForwarder(metrics.Config{Tunnels: 5})
	shown := get(t, relay, "text/plain").Body.String() + get(t, forwarder, "text/plain").Body.String()
	file, err := parser.ParseFile(token.NewFileSet(), "../observe/reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	reasons := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, _ := spec.Type.(*ast.Ident); kind == nil || kind.Name != "Reason" {
			return true
		}
		reason, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Error(err)
		}
		reasons++
		if !slices.ContainsFunc([]string{`reason=`, `code=`, `how=`}, func(label string) bool { return strings.Contains(shown, label+strconv.Quote(reason)) }) {
			t.Errorf("no metric shows the reason %s", reason)
		}
		return true
	})
	if reasons == 0 {
		t.Error("there are no reasons")
	}
}

// An event that is new is counted, or it is said here why not.
func TestEveryEventIsCounted(t *testing.T) {
	// What an operator does, who knows it. relay_tunnels has what is paused.
	byOperator := []observe.Name{observe.TunnelPaused, observe.TunnelResumed, observe.SourceUnbanned}
	for _, name := range observe.Names() {
		counted := false
		for _, m := range []*metrics.Metrics{metrics.NewRelay(metrics.Config{}), metrics.NewForwarder(metrics.Config{})} {
			before := ours(scrape(t, m))
			m.Sink().Observe(observe.Event{Name: name, Duration: time.Second, Waited: time.Second, Delayed: 1})
			counted = counted || !maps.Equal(before, ours(scrape(t, m)))
		}
		if counted == slices.Contains(byOperator, name) {
			t.Errorf("whether %s is counted: %v", name, counted)
		}
	}
}

// ours returns the series that are not of the process.
func ours(series map[string]float64) map[string]float64 {
	maps.DeleteFunc(series, func(name string, _ float64) bool { return !strings.HasPrefix(name, "relay_") })
	return series
}
