package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"github.com/seed96252745/relay/internal/lossy"
)

// flushWait is how long the last lines may take to be written. A live reader takes them at
// once, and the end of the process must not wait for one that has stalled.
const flushWait = time.Second

// newLogger returns a logger of a format that has been checked, and where its lines go. The
// level may change while it is in use. Logging never waits for the reader of the log. What is left is written by lines.Close(flushWait); call
// that before the process ends.
func newLogger(w io.Writer, level slog.Leveler, format string) (log *slog.Logger, lines *lossy.Writer) {
	file, isFile := w.(*os.File)
	terminal := isFile && term.IsTerminal(int(file.Fd()))
	if format == "" {
		format = "json"
		if terminal {
			format = "text"
		}
	}
	var handler func(io.Writer) slog.Handler
	switch strings.ToLower(format) {
	case "text":
		handler = func(w io.Writer) slog.Handler {
			return tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !terminal})
		}
	case "json":
		handler = func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}) }
	}
	lines = lossy.NewWriter(w)
	lines.ReportDropped(func(out io.Writer, lines int) error { return logDropped(handler(out), lines) })
	return slog.New(handler(lines)), lines
}

// parseLevel returns a level that checkLevel has taken.
func parseLevel(text string) (level slog.Level) {
	_ = level.UnmarshalText([]byte(text))
	return level
}

func checkLevel(level string) error {
	if err := new(slog.Level).UnmarshalText([]byte(level)); err != nil {
		return usagef("one of:   --logLevel=debug, info, warn, error", "--logLevel: there is no level %q", level)
	}
	return nil
}

func checkFormat(format string) error {
	switch strings.ToLower(format) {
	case "", "text", "json":
		return nil
	}
	return usagef("one of:   --logFormat=text, --logFormat=json", "--logFormat: there is no format %q", format)
}

// logDropped logs how many lines are missing, in their place.
func logDropped(h slog.Handler, lines int) error {
	if !h.Enabled(context.Background(), slog.LevelWarn) {
		return nil
	}
	r := slog.NewRecord(time.Now(), slog.LevelWarn, "lines of the log are missing here: they were not read quickly enough", 0)
	r.AddAttrs(slog.Int("lines", lines))
	return h.Handle(context.Background(), r)
}

// printError writes the error of a command. The exit status does not wait for a reader that
// has stalled.
func printError(stderr io.Writer, text string) {
	out := lossy.NewWriter(stderr)
	_, _ = io.WriteString(out, text)
	out.Close(flushWait)
}
