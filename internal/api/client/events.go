package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"

	"github.com/seed96252745/relay/internal/api"
)

// maxEvent bounds a line of the stream. The stack of a panic is the longest field.
const maxEvent = 1 << 20

// Filter selects events. Its zero value selects all.
type Filter struct {
	Events   []string // any of these names
	Level    string   // this or a higher one: debug, info, warn or error
	Tunnel   string   // its ID
	Identity string
	User     string // an address, with or without the port
	// Kept has the events that are kept come first, up to a thousand of the last.
	Kept bool
}

func (f Filter) query() string {
	values := url.Values{}
	for _, name := range f.Events {
		values.Add("event", name)
	}
	for name, value := range map[string]string{"level": f.Level, "tunnel": f.Tunnel, "identity": f.Identity, "user": f.User} {
		if value != "" {
			values.Set(name, value)
		}
	}
	if len(values) == 0 {
		return ""
	}
	return "?" + values.Encode()
}

// header has an event of another process be the last that this reader has seen: all of
// this one are new then.
func (f Filter) header(h http.Header) {
	if f.Kept {
		h.Set("Last-Event-ID", "none-0")
	}
}

// Events yields events as they happen. Where this reader was too slow for some, it yields
// one named api.EventsDropped, with their count. After an error, with which the stream
// ends, it yields no more. The end of the process is io.EOF, and that of ctx its error.
func (c *Client) Events(ctx context.Context, f Filter) iter.Seq2[api.Event, error] {
	return func(yield func(api.Event, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		answer, err := c.send(ctx, http.MethodGet, "/api/v1/events"+f.query(), nil, f.header)
		if err != nil {
			yield(api.Event{}, err)
			return
		}
		defer answer.Body.Close() //nolint:errcheck // it was only read
		lines := bufio.NewScanner(answer.Body)
		lines.Buffer(nil, maxEvent)
		for lines.Scan() {
			data, is := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
			if !is {
				continue // an id, a heartbeat, or the end of an event
			}
			var e api.Event
			if err := json.Unmarshal(data, &e); err != nil {
				yield(api.Event{}, fmt.Errorf("an event cannot be read: %w", err))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
		yield(api.Event{}, ended(ctx, lines.Err()))
	}
}

// ended returns why a stream is over.
func ended(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	}
	return io.EOF
}
