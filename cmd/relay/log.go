package main

import (
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// newLogger gives the logger that the flags ask for.
func newLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var min slog.Level
	if err := min.UnmarshalText([]byte(level)); err != nil {
		return nil, usagef("one of:   --logLevel=debug, info, warn, error", "--logLevel: there is no level %q", level)
	}
	file, isFile := w.(*os.File)
	terminal := isFile && term.IsTerminal(int(file.Fd()))
	if format == "" {
		format = "json"
		if terminal {
			format = "text"
		}
	}
	switch strings.ToLower(format) {
	case "text":
		return slog.New(tint.NewTextHandler(w, &tint.Options{Level: min, TimeFormat: time.TimeOnly, NoColor: !terminal})), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: min})), nil
	}
	return nil, usagef("one of:   --logFormat=text, --logFormat=json", "--logFormat: there is no format %q", format)
}
