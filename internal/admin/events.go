package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/observe"
)

const (
	// turn is the least time between two looks of a reader, so that it costs no more than
	// ringSize events of each turn, however many there are.
	turn = 100 * time.Millisecond
	// heartbeat keeps proxies and load balancers from closing a stream in which nothing
	// happens.
	heartbeat = 15 * time.Second
	// readerWait is how long a reader may take nothing before it is cut off.
	readerWait = 10 * time.Second
	// batchSize is how many events a reader takes out of the ring at once. Nobody adds one
	// meanwhile, and so many are copied in a few microseconds.
	batchSize = 64
	// chunkSize is about how many bytes are written at once.
	chunkSize = 32 << 10
)

// events answers with the live stream of events.
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	f, err := s.filter(r)
	if err != nil {
		return err
	}
	place := s.Events.open(r.Header.Get("Last-Event-ID"))
	if place == nil {
		e := refuse(http.StatusTooManyRequests, "too_many_readers", "%d streams of events are open already: close one", maxReaders)
		e.wait = heartbeat
		return e
	}
	defer place.close()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep events back
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	out := &writer{w: w, control: http.NewResponseController(w), place: place, filter: f, patience: s.readerWait}
	_ = out.control.SetReadDeadline(time.Time{}) // there is nothing more to read
	out.text.WriteString("retry: 2000\n\n")
	out.run(r.Context())
	return nil
}

// writer writes the live stream to one reader.
type writer struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	place    *reader
	filter   filter
	patience time.Duration // with a reader that takes nothing
	batch    [batchSize]entry
	text     bytes.Buffer // that is to be written
	failed   bool
}

// run writes events until ctx is done, or the reader is gone or reads nothing.
func (o *writer) run(ctx context.Context) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	pause := time.NewTimer(turn)
	defer pause.Stop()
	for {
		found := o.take()
		o.write()
		if o.failed {
			return
		}
		var due <-chan time.Time
		wake := o.place.wake
		if found { // a reader takes turns while there are events
			pause.Reset(turn)
			due, wake = pause.C, nil
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-due:
		case <-beat.C:
			o.text.WriteString(": heartbeat\n\n")
		}
	}
}

// take writes what has come since the last time, and reports whether there was anything.
func (o *writer) take() (found bool) {
	for range ringSize / batchSize {
		n, first, dropped := o.place.read(o.batch[:])
		if dropped > 0 {
			o.dropped(first-1, dropped)
		}
		for i := range o.batch[:n] {
			e := &o.batch[i]
			if o.filter.wants(&e.event) {
				o.event(first+uint64(i), e)
			}
			*e = entry{} // holds what the event did
		}
		if n == 0 || o.failed {
			return found || dropped > 0
		}
		found = true
	}
	return found
}

func (o *writer) event(number uint64, e *entry) {
	fmt.Fprintf(&o.text, "id: %s\n", o.place.stream.id(number))
	o.data(api.Event{
		Seq: number, At: e.at.UTC(), Level: e.event.Level.String(), Event: string(e.event.Name), Tunnel: api.TunnelID(e.event.Tunnel.ID), Fields: fields(&e.event),
	})
}

// dropped says how many events are missing in this place.
func (o *writer) dropped(number, count uint64) {
	o.data(api.Event{
		Seq: number, At: time.Now().UTC(), Level: slog.LevelWarn.String(), Event: api.EventsDropped,
		Fields: map[string]any{"count": count},
	})
}

func (o *writer) data(e api.Event) {
	content, err := json.Marshal(e)
	if err != nil {
		panic(err) // a field has a type that fields does not know
	}
	o.text.WriteString("data: ")
	o.text.Write(content)
	o.text.WriteString("\n\n")
	if o.text.Len() >= chunkSize {
		o.write()
	}
}

// write writes what there is to write. A reader that does not take it in time is cut off.
func (o *writer) write() {
	if o.failed || o.text.Len() == 0 {
		o.text.Reset()
		return
	}
	_ = o.control.SetWriteDeadline(time.Now().Add(o.patience))
	_, err := o.w.Write(o.text.Bytes())
	if err == nil {
		err = o.control.Flush()
	}
	o.failed = err != nil
	o.text.Reset()
}

// fields returns the fields of an event, as the log has them.
func fields(e *observe.Event) map[string]any {
	of := make(map[string]any)
	for _, attr := range e.Fields() {
		switch value := attr.Value.Resolve(); {
		case attr.Key == "event":
		case value.Kind() == slog.KindInt64, value.Kind() == slog.KindUint64, value.Kind() == slog.KindFloat64, value.Kind() == slog.KindBool:
			of[attr.Key] = value.Any()
		default:
			of[attr.Key] = value.String()
		}
	}
	return of
}
