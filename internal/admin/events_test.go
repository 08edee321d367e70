package admin_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/admin"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/observe"
)

// reading is a stream of events that is read.
type reading struct {
	testing.TB
	answer *http.Response
	lines  *bufio.Scanner
	lastID string
}

// listen opens a stream. Where there is nothing to read, reading waits.
func (r *rig) listen(query string, headers ...string) *reading {
	r.Helper()
	answer, err := r.client.Do(r.request("GET", "/api/v1/events"+query, "", headers...))
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { answer.Body.Close() })
	if kind := answer.Header.Get("Content-Type"); answer.StatusCode != 200 || kind != "text/event-stream" {
		r.Fatalf("status %d, %s", answer.StatusCode, kind)
	}
	return &reading{TB: r.TB, answer: answer, lines: bufio.NewScanner(answer.Body)}
}

// next returns the next event.
func (r *reading) next() (e api.Event) {
	r.Helper()
	for r.lines.Scan() {
		if id, is := strings.CutPrefix(r.lines.Text(), "id: "); is {
			r.lastID = id
		}
		if data, is := strings.CutPrefix(r.lines.Text(), "data: "); is {
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				r.Fatal(err)
			}
			return e
		}
	}
	r.Fatalf("the stream has ended: %v", r.lines.Err())
	return e
}

func (r *reading) wantNames(names ...observe.Name) {
	r.Helper()
	for _, name := range names {
		if e := r.next(); e.Event != string(name) {
			r.Fatalf("the event is %s, want %s", e.Event, name)
		}
	}
}

func user(address string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address)) }

// An event of the stream has the fields of its line in the log.
func TestEvent(t *testing.T) {
	r := start(t, admin.Access{})
	stream := r.listen("")
	before := time.Now()
	r.Events.Observe(observe.Event{
		Name: observe.UserDone, Level: slog.LevelInfo, User: user("192.0.2.7:40000"), Received: 5, Sent: 6,
		Tunnel: observe.Tunnel{ID: 1, Port: 20001, Identity: "db1"}, Err: errors.New("an error\nof two lines"),
	})
	e := stream.next()
	if e.Seq != 1 || e.Level != "INFO" || e.Event != "user_done" || e.Tunnel != "t1" || e.At.Before(before.Add(-time.Second)) || e.At.Location() != time.UTC {
		t.Errorf("the event is %+v", e)
	}
	for key, want := range map[string]any{
		"port": 20001.0, "identity": "db1", "user": "192.0.2.7:40000", "received": 5.0, "sent": 6.0, "error": "an error\nof two lines", "event": nil,
	} {
		if e.Fields[key] != want {
			t.Errorf("%s is %v, want %v", key, e.Fields[key], want)
		}
	}
}

// A filter lets through what it names.
func TestFilters(t *testing.T) {
	events := []observe.Event{
		{Name: observe.UserJoined, Level: slog.LevelDebug, User: user("192.0.2.7:40000"), Tunnel: observe.Tunnel{ID: 1, Port: 20001, Identity: "db1"}},
		{Name: observe.UserReset, Level: slog.LevelInfo, User: user("[2001:db8::1]:40000"), Tunnel: observe.Tunnel{ID: 1, Port: 20001}},
		{Name: observe.TunnelClosed, Level: slog.LevelInfo, Tunnel: observe.Tunnel{ID: 2, Port: 20001, Identity: "db1"}},
		{Name: observe.Panicked, Level: slog.LevelError},
		{Name: observe.LeaseEnded, Level: slog.LevelInfo, Tunnel: observe.Tunnel{Port: 20001}},
	}
	for query, want := range map[string][]observe.Name{
		"":                               {observe.UserJoined, observe.UserReset, observe.TunnelClosed, observe.Panicked, observe.LeaseEnded},
		"?event=user_reset&event=panic":  {observe.UserReset, observe.Panicked},
		"?level=info":                    {observe.UserReset, observe.TunnelClosed, observe.Panicked, observe.LeaseEnded},
		"?level=WARN":                    {observe.Panicked},
		"?tunnel=t1":                     {observe.UserJoined, observe.UserReset, observe.LeaseEnded},
		"?identity=db1":                  {observe.UserJoined, observe.TunnelClosed},
		"?user=192.0.2.7":                {observe.UserJoined},
		"?user=192.0.2.7:40000":          {observe.UserJoined},
		"?user=192.0.2.7:40001":          {},
		"?user=::ffff:192.0.2.7":         {observe.UserJoined},
		"?user=%5B2001:db8::1%5D:40000":  {observe.UserReset},
		"?identity=db1&level=info":       {observe.TunnelClosed},
		"?event=user_done":               {},
		"?event=source_banned&tunnel=t1": {},
	} {
		r := start(t, admin.Access{})
		stream := r.listen(query)
		for _, e := range events {
			r.Events.Observe(e)
		}
		stream.wantNames(want...)
		// What the filter leaves out has not come, if one of these is next.
		for _, name := range []observe.Name{observe.Panicked, observe.UserDone, observe.SourceBanned} {
			for _, address := range []string{"192.0.2.7:40000", "192.0.2.7:40001", "[2001:db8::1]:40000"} {
				r.Events.Observe(observe.Event{
					Name: name, Level: slog.LevelError, User: user(address), Tunnel: observe.Tunnel{ID: 1, Port: 20001, Identity: "db1"},
				})
			}
		}
		if e := stream.next(); e.Seq <= uint64(len(events)) {
			t.Errorf("%s: the next event is %+v", query, e)
		}
	}
}

// A reader that comes back gets what it has missed; so does one whose process has started
// anew meanwhile.
func TestLastEventID(t *testing.T) {
	r := start(t, admin.Access{})
	stream := r.listen("")
	for range 3 {
		r.Events.Observe(observe.Event{Name: observe.UserReset})
	}
	stream.next()
	again := r.listen("", "Last-Event-ID: "+stream.lastID)
	for id, want := range map[string]uint64{stream.lastID: 2, "another-7": 1} {
		if e := r.listen("", "Last-Event-ID: "+id).next(); e.Seq != want {
			t.Errorf("%s: the event is %d, want %d", id, e.Seq, want)
		}
	}
	for _, id := range []string{"", "7", "x", "-", strings.Split(stream.lastID, "-")[0] + "-18446744073709551615"} {
		late := r.listen("", "Last-Event-ID: "+id)
		r.Events.Observe(observe.Event{Name: observe.UserReset})
		if e := late.next(); e.Seq < 4 {
			t.Errorf("%q: the event is %d, which is over", id, e.Seq)
		}
	}
	if e := again.next(); e.Seq != 2 {
		t.Errorf("the event is %d, want 2", e.Seq)
	}
}

// Only so many streams are open; a place is free again when its reader leaves.
func TestManyReaders(t *testing.T) {
	r := start(t, admin.Access{})
	var streams []*reading
	for range 16 {
		streams = append(streams, r.listen(""))
	}
	answer := r.ask("GET", "/api/v1/events", "")
	answer.wantError(t, http.StatusTooManyRequests, "too_many_readers")
	r.ask("GET", "/api/v1/status", "").wantStatus(t, 200)
	streams[0].answer.Body.Close()
	waitFor(t, r.opens)
}

// A reader that never reads holds up neither those who cause events nor another reader, and
// is cut off.
func TestReaderThatDoesNotRead(t *testing.T) {
	r := start(t, admin.Access{})
	admin.SetReaderWait(r.Server, 100*time.Millisecond)
	quick := r.listen("?event=panic")
	r.listen("") // and does not read
	for range 14 {
		r.listen("?event=lease_ended")
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		text := strings.Repeat("x", 64<<10) // so that the sockets are full soon
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				r.Events.Observe(observe.Event{Name: observe.Panicked})
				return
			case <-tick.C:
				r.Events.Observe(observe.Event{Name: observe.UserReset, Limit: text})
			}
		}
	}()
	waitFor(t, r.opens)
	close(stop)
	select {
	case <-stopped:
	case <-time.After(patience):
		t.Fatal("readers that do not read hold up who observes")
	}
	for e := quick.next(); e.Event != string(observe.Panicked); e = quick.next() {
		if e.Event != api.EventsDropped {
			t.Fatalf("the event is %s", e.Event)
		}
	}
}

// opens reports whether there is a place for another reader.
func (r *rig) opens() bool {
	r.Helper()
	answer, err := r.client.Do(r.request("GET", "/api/v1/events", ""))
	if err != nil {
		r.Fatal(err)
	}
	defer answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// A reader that is behind by more than is kept is told how many events it has missed.
func TestDropped(t *testing.T) {
	r := start(t, admin.Access{})
	stream := r.listen("")
	r.Events.Observe(observe.Event{Name: observe.UserReset})
	stream.next()
	const events, kept = 3000, 1024
	for range events - 1 {
		r.Events.Observe(observe.Event{Name: observe.UserReset})
	}
	late := r.listen("", "Last-Event-ID: "+stream.lastID)
	e := late.next()
	if e.Event != api.EventsDropped || e.Seq != events-kept || e.Fields["count"] != float64(events-kept-1) {
		t.Errorf("the first event is %+v", e)
	}
	for seq := uint64(events - kept + 1); seq <= events; seq++ {
		if e := late.next(); e.Seq != seq || e.Event != string(observe.UserReset) {
			t.Fatalf("the event is %+v, want %d", e, seq)
		}
	}
}

// Close ends streams, and waits for them.
func TestCloseEndsStreams(t *testing.T) {
	r := start(t, admin.Access{})
	stream := r.listen("")
	r.Close()
	for stream.lines.Scan() {
	}
	if err := stream.lines.Err(); err != nil {
		t.Errorf("the stream ends with %v", err)
	}
	if err := r.Serve(unused{}, admin.Access{}); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("after Close, Serve returns %v", err)
	}
}

// unused is a listener that is only closed.
type unused struct{ net.Listener }

func (unused) Close() error { return nil }

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for since := time.Now(); !done(); <-tick.C {
		if time.Since(since) > patience {
			t.Fatal("it does not happen")
		}
	}
}
