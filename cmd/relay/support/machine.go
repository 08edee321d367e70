package support

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// machineFiles are what the kernel says about what Relay stands on. None of them says
// anything about the people who use the machine.
func machineFiles() []string {
	const ipv4, core, netfilter = "/proc/sys/net/ipv4/", "/proc/sys/net/core/", "/proc/sys/net/netfilter/"
	return []string{
		"/proc/version", "/etc/os-release", "/proc/uptime", "/proc/loadavg", "/proc/self/limits",
		"/proc/net/sockstat", "/proc/net/sockstat6",
		"/proc/sys/fs/file-max", "/proc/sys/fs/file-nr", "/proc/sys/fs/nr_open",
		core + "somaxconn", core + "netdev_max_backlog", core + "rmem_max", core + "wmem_max", core + "default_qdisc",
		ipv4 + "tcp_mem", ipv4 + "tcp_rmem", ipv4 + "tcp_wmem", ipv4 + "tcp_max_syn_backlog", ipv4 + "tcp_syncookies",
		ipv4 + "ip_local_port_range", ipv4 + "tcp_fin_timeout", ipv4 + "tcp_max_tw_buckets", ipv4 + "tcp_tw_reuse",
		ipv4 + "tcp_keepalive_time", ipv4 + "tcp_retries2", ipv4 + "tcp_rto_max_ms", ipv4 + "tcp_congestion_control",
		ipv4 + "tcp_mtu_probing", ipv4 + "tcp_timestamps",
		netfilter + "nf_conntrack_max", netfilter + "nf_conntrack_count", netfilter + "nf_conntrack_tcp_timeout_established",
		"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/pids.max",
	}
}

// maxMachineFile bounds what is taken of a file.
const maxMachineFile = 16 << 10

// AddMachine adds what matters about this machine, and about the command that makes the
// bundle.
func (b *Bundle) AddMachine(version string) {
	var text bytes.Buffer
	fmt.Fprintf(&text, "made %s\nrelay %s\n%s %s/%s, %d processors, GOMAXPROCS %d\n",
		b.Made.UTC().Format("2006-01-02T15:04:05Z"), version, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.GOMAXPROCS(0))
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if strings.HasPrefix(s.Key, "vcs") || strings.HasPrefix(s.Key, "GO") || s.Key == "CGO_ENABLED" || strings.HasPrefix(s.Key, "-") {
				fmt.Fprintf(&text, "build %s=%s\n", s.Key, s.Value)
			}
		}
		for _, m := range info.Deps {
			fmt.Fprintf(&text, "module %s %s\n", m.Path, m.Version)
		}
	}
	for _, name := range []string{"GOMAXPROCS", "GOGC", "GOMEMLIMIT", "GODEBUG", "GOTRACEBACK"} {
		if value, set := os.LookupEnv(name); set {
			fmt.Fprintf(&text, "environment %s=%s\n", name, value)
		}
	}
	b.AddText("version.txt", text.Bytes())

	text.Reset()
	for _, path := range machineFiles() {
		content, err := readSome(path)
		if err != nil {
			continue // another system, or another kernel
		}
		if bytes.Count(content, []byte("\n")) > 1 {
			fmt.Fprintf(&text, "%s:\n%s\n", path, content)
		} else {
			fmt.Fprintf(&text, "%s: %s\n", path, bytes.TrimSpace(content))
		}
	}
	b.AddText("machine.txt", text.Bytes())
}

func readSome(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	return content[:min(len(content), maxMachineFile)], err
}
