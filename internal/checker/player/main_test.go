package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The three commands, together.
func TestCommands(t *testing.T) {
	dir := t.TempDir()
	users, server := filepath.Join(dir, "users"), filepath.Join(dir, "server")
	ctx, stop := context.WithCancel(t.Context())
	said, says := io.Pipe()
	served := make(chan error, 1)
	go func() { served <- run(ctx, []string{"serve", "--records", server}, says, io.Discard) }()
	line := make([]byte, 100)
	n, err := said.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	addr, ok := strings.CutPrefix(strings.TrimSpace(string(line[:n])), "listening ")
	if !ok {
		t.Fatalf("serve printed %q, want its address", line[:n])
	}
	args := []string{"use", "--to", addr, "--records", users, "--users", "13", "--modes", "all", "--up", "1000", "--down", "1000"}
	if err := run(t.Context(), args, io.Discard, io.Discard); err != nil {
		t.Errorf("use: %v", err)
	}
	stop()
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
	var summary, violations bytes.Buffer
	if err := run(t.Context(), []string{"verify", "--clean", users, server}, &summary, &violations); err != nil {
		t.Errorf("verify: %v\n%s", err, &violations)
	}
	if !strings.Contains(summary.String(), `"users": 13`) {
		t.Errorf("verify printed %s, want 13 users", &summary)
	}
	if err := run(t.Context(), []string{"verify", "--clean", users}, io.Discard, &violations); err == nil || violations.Len() == 0 {
		t.Errorf("verify without a server: %v and %q, want violations", err, &violations)
	}
}

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"sing"}, {"serve", "--nothing"}, {"use", "more"}, {"verify"}, {"verify", "--clean", "--faulty", "x"}} {
		var stderr bytes.Buffer
		if err := run(t.Context(), args, io.Discard, &stderr); !errors.Is(err, errUsage) || stderr.Len() == 0 {
			t.Errorf("%q: got %v and %q, want what is wrong with it", args, err, &stderr)
		}
	}
}
