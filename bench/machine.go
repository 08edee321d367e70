//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// machine is what figures depend on, beside the contenders.
type machine struct {
	Processor  string `json:"processor"`
	Processors int    `json:"processors"`
	Memory     string `json:"memory"`
	Kernel     string `json:"kernel"`
	Go         string `json:"go"`
	// The kernel's settings of TCP, as they are set here.
	Congestion string `json:"tcp_congestion_control"`
	ReadBuf    string `json:"tcp_rmem"`
	WriteBuf   string `json:"tcp_wmem"`
}

func thisMachine() machine {
	m := machine{
		Processor:  field("/proc/cpuinfo", "model name"),
		Processors: runtime.NumCPU(),
		Memory:     field("/proc/meminfo", "MemTotal"),
		Go:         runtime.Version(),
		Congestion: setting("tcp_congestion_control"),
		ReadBuf:    setting("tcp_rmem"),
		WriteBuf:   setting("tcp_wmem"),
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = "Linux " + unix.ByteSliceToString(name.Release[:]) + " " + unix.ByteSliceToString(name.Machine[:])
	}
	return m
}

// field returns the value after a name in a file of /proc, or "".
func field(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		key, value, found := strings.Cut(line, ":")
		if found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func setting(name string) string {
	text, err := os.ReadFile("/proc/sys/net/ipv4/" + name)
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(string(text)), " ")
}

// versionOf returns the version that the contender's program prints, on one line.
func versionOf(ctx context.Context, c contender, b *bench) string {
	if len(c.version) == 0 || c.missing() != "" {
		return ""
	}
	path, err := program(c.version[0])
	if err != nil {
		return ""
	}
	out, err := exec.CommandContext(ctx, path, c.version[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("unknown: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	text := strings.TrimSpace(lines[0])
	// Some print something else first.
	if i := slices.IndexFunc(lines, func(line string) bool { return strings.ContainsAny(line, "0123456789") }); i >= 0 {
		text = strings.TrimSpace(lines[i])
	}
	if c.relay == b.relay && b.commit != "" {
		text += ", commit " + b.commit
	}
	return text
}
