package observe_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
)

var (
	client = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1000}
	user   = &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 2000}
	tunnel = observe.Tunnel{Port: 20001, Protocol: "pool", RelayClient: client, Identity: "db1", Name: "web"}
)

// lines are what the log says of some events: among them every field that there is.
var lines = []struct {
	event observe.Event
	line  string
}{
	{observe.Event{Name: observe.TunnelOpened, Tunnel: tunnel},
		`INFO msg="tunnel opened" event=tunnel_opened port=20001 protocol=pool relayClient=192.0.2.1:1000 identity=db1 name=web`},
	{observe.Event{
		Name: observe.TunnelStateChanged, Level: slog.LevelWarn, Tunnel: tunnel,
		From: observe.Up, To: observe.LocalServerDown, Err: errors.New("connection refused"),
	}, `WARN msg="tunnel state changed" event=tunnel_state_changed port=20001 protocol=pool relayClient=192.0.2.1:1000 identity=db1 name=web from=up to=local_server_down error="connection refused"`},
	{observe.Event{Name: observe.LeaseEnded, Tunnel: observe.Tunnel{Port: 20001}, Reason: observe.LeaseExpired, Duration: time.Minute},
		`INFO msg="lease ended" event=lease_ended port=20001 reason=lease_expired awayFor=1m0s`},
	{observe.Event{Name: observe.UserJoined, Level: slog.LevelWarn, User: user},
		`WARN msg="user joined" event=user_joined user=198.51.100.1:2000`},
	{observe.Event{
		Name: observe.UserDone, User: user, Waited: 1500 * time.Nanosecond, Received: 1, Sent: 0, Duration: time.Second,
		EndedBy: observe.ByRelayClient, How: observe.Lost, Err: errors.New("gone"),
	}, `INFO msg="user done" event=user_done user=198.51.100.1:2000 waited=2µs received=1 sent=0 duration=1s endedBy=relay_client how=lost error=gone`},
	{observe.Event{Name: observe.UserDone, DialTime: 1, EndedBy: observe.ByUser, How: observe.HalfCloseTimeout},
		`INFO msg="user done" event=user_done dialTime=0s received=0 sent=0 duration=0s endedBy=user how=half_close_timeout`},
	{observe.Event{Name: observe.UserReset, User: user, Reason: observe.LimitMet, Limit: "usersPerSecondOfTunnel"},
		`INFO msg="user reset" event=user_reset user=198.51.100.1:2000 limit=users_per_second_of_tunnel reason=limit`},
	{observe.Event{Name: observe.TunnelPaused, Tunnel: observe.Tunnel{Service: "db", Local: "localhost:5432", Protocol: "event", Name: "main"}},
		`INFO msg="tunnel paused: its users are reset" event=tunnel_paused protocol=event service=db name=main`},
	{observe.Event{Name: observe.UsersLimited, Limit: "users", Delayed: 3},
		`INFO msg="users exceed a limit" event=users_limited limit=users delayed=3 reset=0`},
	{observe.Event{Name: observe.RequestRefused, Claim: true, Code: "port-taken"},
		`INFO msg="request refused" event=request_refused claim=true code=port-taken`},
	{observe.Event{Name: observe.SourceBanned, Source: netip.MustParsePrefix("2001:db8::/64"), Duration: time.Second},
		`INFO msg="source banned: too many wrong ids or tokens" event=source_banned source=2001:db8::/64 for=1s`},
	{observe.Event{Name: observe.SourceBanned, Source: netip.MustParsePrefix("192.0.2.1/32"), Duration: time.Second},
		`INFO msg="source banned: too many wrong ids or tokens" event=source_banned source=192.0.2.1 for=1s`},
	{observe.Event{Name: observe.ProxyHeaderFailed, Proxy: client},
		`INFO msg="connection closed: a trusted proxy does not say whose it is" event=proxy_header_failed proxy=192.0.2.1:1000`},
	{observe.Event{Name: observe.Panicked, Err: &crash.Error{Value: 1, Stack: "main"}},
		`INFO msg="panic, a bug in Relay: it ended one connection or tunnel, and no other" event=panic panic=1 stack=main`},
}

func TestLines(t *testing.T) {
	for _, tt := range lines {
		var b bytes.Buffer
		log := &observe.Log{Logger: slog.New(slog.NewTextHandler(&b, nil))}
		log.Observe(tt.event)
		_, got, _ := strings.Cut(strings.TrimSuffix(b.String(), "\n"), " level=")
		if got != tt.line {
			t.Errorf("the log has\n%s\nwant\n%s", got, tt.line)
		}
	}
}

// fieldNames returns the fields of the lines above, and the one of a budget.
func fieldNames() []string {
	names := &nameHandler{Handler: slog.DiscardHandler, names: []string{"leftOutBefore"}}
	for _, tt := range lines {
		(&observe.Log{Logger: slog.New(names)}).Observe(tt.event)
	}
	return names.names
}

type nameHandler struct {
	slog.Handler
	names []string
}

func (*nameHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *nameHandler) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "event" {
			h.names = append(h.names, a.Key)
		}
		return true
	})
	return nil
}

// everyOther allows every other line.
type everyOther struct{ asked int }

func (e *everyOther) Allow(netip.Prefix) (leftOut int, ok bool) {
	e.asked++
	return 1, e.asked%2 == 0
}

// What a budget does not allow is counted, and said with the next line. Other events, and
// what is not logged anyway, use nothing of it.
func TestBudget(t *testing.T) {
	var b bytes.Buffer
	leftOut, budget := 0, new(everyOther)
	log := &observe.Log{
		Logger:  slog.New(slog.NewTextHandler(&b, nil)),
		Budgets: map[observe.Name]observe.Budget{observe.UserReset: budget},
		LeftOut: func() { leftOut++ },
	}
	for range 4 {
		log.Observe(observe.Event{Name: observe.UserReset})
		log.Observe(observe.Event{Name: observe.UserReset, Level: slog.LevelDebug})
		log.Observe(observe.Event{Name: observe.UserDone})
	}
	if got := strings.Count(b.String(), "event=user_reset leftOutBefore=1\n"); got != 2 || leftOut != 2 || budget.asked != 4 {
		t.Errorf("%d lines, %d left out, %d asked for; want 2, 2, 4:\n%s", got, leftOut, budget.asked, &b)
	}
	if got := strings.Count(b.String(), "event=user_done"); got != 4 {
		t.Errorf("%d lines without a budget, want 4", got)
	}
}

// Users cost nothing while they are not logged.
func TestNothingIsAllocatedForADisabledLevel(t *testing.T) {
	var sink observe.Sink = &observe.Log{Logger: slog.New(slog.DiscardHandler)}
	allocated := testing.AllocsPerRun(100, func() {
		sink.Observe(observe.Event{Name: observe.UserDone, Tunnel: tunnel, User: user, Received: 1, EndedBy: observe.ByUser, How: observe.Fin})
	})
	if allocated != 0 {
		t.Errorf("%v allocations for an event, want none", allocated)
	}
}

func TestReasonOf(t *testing.T) {
	expired := observe.WithReason(errors.New("away"), observe.LeaseExpired)
	for _, tt := range []struct {
		err  error
		want observe.Reason
	}{
		{nil, ""},
		{expired, observe.LeaseExpired},
		{fmt.Errorf("%w: %w", protocol.ErrLate, expired), observe.LeaseExpired},
		{fmt.Errorf("open: %w", protocol.ErrTooLong), observe.WaitTimeout},
		{fmt.Errorf("read: %w", &crash.Error{}), observe.Panic},
		{errors.New("disk full"), observe.Other},
	} {
		if got := observe.ReasonOf(tt.err); got != tt.want {
			t.Errorf("ReasonOf(%v) is %q, want %q", tt.err, got, tt.want)
		}
	}
}
