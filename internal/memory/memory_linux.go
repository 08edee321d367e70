package memory

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Limit returns how many bytes the process may use: the least of what the machine has,
// what its control groups allow, and GOMEMLIMIT.
func Limit() int64 {
	const all = -1 // changes nothing
	return min(debug.SetMemoryLimit(all), groupMemory(os.DirFS("/")), machineMemory())
}

// machineMemory returns what the machine has, or math.MaxInt64.
func machineMemory() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return math.MaxInt64
	}
	total := uint64(info.Totalram) * uint64(info.Unit) //nolint:unconvert // 32 bits on some systems
	return int64(min(total, math.MaxInt64))            //nolint:gosec // it is in bounds
}

// groupMemory returns the least that a control group of the process allows, of version 1
// or 2, or of both side by side: the group's own bound, and those of the groups above it
// (cgroups(7), and memory.max in the kernel's cgroup-v2.rst). A file that cannot be read
// is no bound.
func groupMemory(root fs.FS) int64 {
	limit := int64(math.MaxInt64)
	groups := memoryGroups(root)
	for _, m := range cgroupMounts(root) {
		group, within := relative(m.root, groups[m.version])
		for within {
			limit = min(limit, readBound(root, path.Join(m.point, group, boundOf(m.version))))
			within = group != "."
			group = path.Dir(group)
		}
	}
	return limit
}

// cgroupMount is where a hierarchy that may bound memory is mounted.
type cgroupMount struct {
	version int
	root    string // the group that is the topmost there
	point   string // relative to the file system's root, so without a slash before it
}

// cgroupMounts reads /proc/self/mountinfo (proc_pid_mountinfo(5)).
func cgroupMounts(root fs.FS) (mounts []cgroupMount) {
	const mountRoot, mountPoint = 3, 4
	text, _ := fs.ReadFile(root, "proc/self/mountinfo")
	for line := range strings.Lines(string(text)) {
		mount, system, _ := strings.Cut(line, " - ")
		of, is := strings.Fields(mount), strings.Fields(system)
		if len(of) <= mountPoint || len(is) == 0 {
			continue
		}
		m := cgroupMount{root: unescape(of[mountRoot]), point: strings.TrimPrefix(unescape(of[mountPoint]), "/")}
		switch {
		case is[0] == "cgroup2":
			m.version = 2
		case is[0] == "cgroup" && hasWord(is[len(is)-1], "memory"):
			m.version = 1
		default:
			continue
		}
		mounts = append(mounts, m)
	}
	return mounts
}

// memoryGroups reads from /proc/self/cgroup in which groups the process is, and returns
// those that may bound memory, by the version of their hierarchy.
func memoryGroups(root fs.FS) map[int]string {
	groups := make(map[int]string)
	text, _ := fs.ReadFile(root, "proc/self/cgroup")
	for line := range strings.Lines(string(text)) {
		hierarchy, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		switch {
		case hierarchy == "0":
			groups[2] = group
		case hasWord(controllers, "memory"):
			groups[1] = group
		}
	}
	return groups
}

// boundOf returns the name of the file with a group's bound.
func boundOf(version int) string {
	if version == 1 {
		return "memory.limit_in_bytes"
	}
	return "memory.max"
}

// readBound returns math.MaxInt64 for "max", and for a file that does not exist: the
// topmost group has none.
func readBound(root fs.FS, name string) int64 {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return math.MaxInt64
	}
	bound, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return math.MaxInt64
	}
	return bound
}

// relative returns group as seen from top. A group that is not below top is taken for top
// itself: a container may see only its own group, and not by which path.
func relative(top, group string) (within string, ok bool) {
	if group == "" {
		return "", false
	}
	below, isBelow := strings.CutPrefix(group+"/", strings.TrimSuffix(top, "/")+"/")
	if !isBelow || strings.Contains(group, "..") {
		return ".", true
	}
	return path.Join(".", below), true
}

func hasWord(list, word string) bool { return strings.Contains(","+list+",", ","+word+",") }

// unescape undoes the escapes of mountinfo.
func unescape(name string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(name)
}
