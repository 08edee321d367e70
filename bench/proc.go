//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc, the same on every Linux that Go knows.
const tick = 10 * time.Millisecond

// usage is what some processes have used, or hold.
type usage struct {
	cpu         time.Duration
	memory      int64 // bytes that are resident
	descriptors int
}

func (u usage) minus(v usage) usage {
	return usage{u.cpu - v.cpu, u.memory - v.memory, u.descriptors - v.descriptors}
}

func (u usage) plus(v usage) usage {
	return usage{u.cpu + v.cpu, u.memory + v.memory, u.descriptors + v.descriptors}
}

// stat is a process, as /proc/<pid>/stat has it.
type stat struct {
	parent int
	cpu    time.Duration // with those of its children that have ended
}

type processes map[int]stat

func readProcesses() (processes, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	table := make(processes)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended since
		}
		pid, s, err := parseStat(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		table[pid] = s
	}
	return table, nil
}

func parseStat(text []byte) (pid int, s stat, err error) {
	// The name of the program is in brackets, and may have brackets in it.
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return 0, s, fmt.Errorf("no program in %q", text)
	}
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) < 15 {
		return 0, s, fmt.Errorf("too few fields in %q", text)
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(text[:open])))
	if err != nil {
		return 0, s, fmt.Errorf("the process: %w", err)
	}
	if s.parent, err = strconv.Atoi(fields[1]); err != nil {
		return 0, s, fmt.Errorf("the parent: %w", err)
	}
	for _, field := range fields[11:15] { // utime, stime, cutime, cstime
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, s, fmt.Errorf("a time: %w", err)
		}
		s.cpu += time.Duration(ticks) * tick
	}
	return pid, s, nil
}

// tree returns a process and all its descendants.
func (t processes) tree(root int) []int {
	tree := []int{root}
	for i := 0; i < len(tree); i++ {
		for pid, s := range t {
			if s.parent == tree[i] && pid != root {
				tree = append(tree, pid)
			}
		}
	}
	return tree
}

// usageOf adds up what the programs and their children use.
func usageOf(programs []*process) (usage, error) {
	var sum usage
	if len(programs) == 0 {
		return sum, nil
	}
	table, err := readProcesses()
	if err != nil {
		return sum, err
	}
	for _, p := range programs {
		for _, pid := range table.tree(p.cmd.Process.Pid) {
			u, err := held(pid)
			if errors.Is(err, os.ErrNotExist) {
				continue // it has ended since
			}
			if err != nil {
				return sum, err
			}
			u.cpu = table[pid].cpu
			sum = sum.plus(u)
		}
	}
	return sum, nil
}

// held is what a process holds.
func held(pid int) (u usage, err error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return u, fmt.Errorf("memory of a process: %w", err)
	}
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	if fields := strings.Fields(after); len(fields) > 0 { // none in one that is ending
		kib, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			return u, fmt.Errorf("memory of a process: %w", err)
		}
		u.memory = kib << 10
	}
	fds, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return u, fmt.Errorf("descriptors of a process: %w", err)
	}
	u.descriptors = len(fds)
	return u, nil
}
