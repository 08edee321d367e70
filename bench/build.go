//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// buildRelay builds the command of the module that is around this one.
func buildRelay(ctx context.Context, dir string) (path, commit string, err error) {
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", "", fmt.Errorf("finding the module: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(mod)))
	if filepath.Base(root) == "bench" {
		root = filepath.Dir(root)
	}
	path = filepath.Join(dir, "relay")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "./cmd/relay")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("building relay in %s: %w: %s", root, err, bytes.TrimSpace(out))
	}
	describe := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty")
	describe.Dir = root
	if out, err := describe.Output(); err == nil { // otherwise it is no clone
		commit = string(bytes.TrimSpace(out))
	}
	return path, commit, nil
}

// raiseLimit lets this program and those that it starts have so many descriptors, or as
// many as it may, and returns how many those are.
func raiseLimit(wanted int) (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("how many descriptors there may be: %w", err)
	}
	more := unix.Rlimit{Cur: max(uint64(wanted), limit.Max), Max: max(uint64(wanted), limit.Max)}
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &more) == nil {
		return int(more.Cur), nil
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("having %d descriptors: %w", limit.Max, err)
	}
	return int(limit.Cur), nil
}
