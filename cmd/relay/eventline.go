package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed96252745/relay/cmd/relay/screen"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/observe"
)

// fieldOrder is the order of the fields in a line of the log. Others come after them.
func fieldOrder() []string {
	return []string{
		"port", "protocol", "relayClient", "identity", "service", "name", "user", "proxy", "source", "for", "dialTime", "waited",
		"received", "sent", "duration", "claim", "endedBy", "how", "limit", "code", "reason", "delayed", "reset", "awayFor",
	}
}

// showEvent writes an event as the log does on a terminal.
func showEvent(s screen.Screen, e api.Event) error {
	var b strings.Builder
	b.WriteString(s.Paint(screen.Faint, e.At.Local().Format(time.TimeOnly)))
	b.WriteString(" " + s.Paint(eventStyle(e), screen.Clean(e.Event)))
	known := fieldOrder()
	keys := slices.DeleteFunc(known, func(key string) bool { _, ok := e.Fields[key]; return !ok })
	for _, key := range slices.Sorted(maps.Keys(e.Fields)) {
		if !slices.Contains(keys, key) && key != "event" {
			keys = append(keys, key)
		}
	}
	for _, key := range keys {
		text := fieldText(e, key)
		if text == "" || strings.ContainsAny(text, " \"=") {
			text = strconv.Quote(text)
		}
		b.WriteString(" " + s.Paint(screen.Faint, screen.Clean(key)+"=") + screen.Clean(text))
	}
	_, err := fmt.Fprintln(s, b.String())
	return err
}

func eventStyle(e api.Event) screen.Style {
	switch e.Level {
	case "ERROR":
		return screen.Red
	case "WARN":
		return screen.Yellow
	case "DEBUG":
		return screen.Faint
	}
	return screen.Bold
}

// fieldText returns a field as the log has it, or "" if the event does not have it.
func fieldText(e api.Event, key string) string {
	switch value := e.Fields[key].(type) {
	case nil:
		return ""
	case string:
		return value
	case float64: // each number of JSON
		return strconv.FormatFloat(value, 'f', -1, 64)
	default:
		return fmt.Sprint(value)
	}
}

// fields are the fields of an event. Those without a value are left out.
type fields map[string]any

func (f fields) text(key, value string) {
	if value != "" {
		f[key] = value
	}
}

// endedEvent returns the event of a connection that is over.
func endedEvent(e api.Ended) api.Event {
	f := make(fields)
	if e.Port != 0 {
		f["port"] = e.Port
	}
	f.text("identity", e.Identity)
	f.text("service", e.Service)
	f.text("name", e.Name)
	f.text("user", e.Address)
	name := observe.UserReset
	if e.Joined {
		name = observe.UserDone
		f["waited"] = logged(e.WaitedSeconds)
		f["received"], f["sent"] = e.Received, e.Sent
		f["duration"] = logged(e.DurationSeconds)
	}
	f.text("endedBy", e.EndedBy)
	f.text("how", e.How)
	f.text("limit", e.Limit)
	f.text("reason", e.Reason)
	f.text("error", e.Error)
	return api.Event{At: e.At, Level: "INFO", Event: string(name), Fields: f}
}

// refusalEvent returns the event of a refusal.
func refusalEvent(r api.Refusal) api.Event {
	f := make(fields)
	f.text("source", r.Source)
	f.text("identity", r.Identity)
	f.text("code", r.Code)
	f.text("reason", r.Reason)
	f.text("error", r.Error)
	return api.Event{At: r.At, Level: "INFO", Event: r.Event, Fields: f}
}

// logged returns a duration as the log has it.
func logged(seconds float64) string { return screen.Seconds(seconds).Round(time.Microsecond).String() }
