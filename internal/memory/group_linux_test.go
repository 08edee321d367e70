package memory_test

import (
	"math"
	"testing"
	"testing/fstest"

	"github.com/seed96252745/relay/internal/memory"
)

const (
	mib      = 1 << 20
	noBound  = "max\n"
	noBound1 = "9223372036854771712\n"

	v2Mount = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	v1Mount = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
)

// What the files say that a process sees on machines and in containers of all kinds.
func TestGroupMemory(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"no groups at all": {nil, math.MaxInt64},
		"no bound": {map[string]string{
			"proc/self/mountinfo": v2Mount, "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": noBound,
		}, math.MaxInt64},
		"systemd's MemoryMax": {map[string]string{
			"proc/self/mountinfo": v2Mount, "proc/self/cgroup": "0::/system.slice/relay.service\n",
			"sys/fs/cgroup/system.slice/memory.max":               noBound,
			"sys/fs/cgroup/system.slice/relay.service/memory.max": "268435456\n",
		}, 256 * mib},
		"a slice above has less": {map[string]string{
			"proc/self/mountinfo": v2Mount, "proc/self/cgroup": "0::/a.slice/a-b.slice/relay.service\n",
			"sys/fs/cgroup/a.slice/memory.max":                         "134217728\n",
			"sys/fs/cgroup/a.slice/a-b.slice/memory.max":               noBound,
			"sys/fs/cgroup/a.slice/a-b.slice/relay.service/memory.max": "268435456\n",
			"sys/fs/cgroup/other.slice/memory.max":                     "1\n",
		}, 128 * mib},
		"a container, version 2": {map[string]string{
			"proc/self/mountinfo": v2Mount, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "268435456\n",
		}, 256 * mib},
		"a container that was given the machine's groups": {map[string]string{
			"proc/self/mountinfo": "30 23 0:26 /../../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "proc/self/cgroup": "0::/\n",
			"sys/fs/cgroup/memory.max": "268435456\n",
		}, 256 * mib},
		"a process outside of its container's groups": {map[string]string{
			"proc/self/mountinfo": v2Mount, "proc/self/cgroup": "0::/../other\n", "sys/fs/cgroup/memory.max": "268435456\n",
		}, 256 * mib},
		"version 1": {map[string]string{
			"proc/self/mountinfo": v1Mount, "proc/self/cgroup": "5:devices:/x\n4:memory:/a/b\n0::/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":     noBound1,
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes":   "134217728\n",
			"sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "268435456\n",
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes":   "1\n",
		}, 128 * mib},
		"a container, version 1, by its path on the machine": {map[string]string{
			"proc/self/mountinfo": "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
			"proc/self/cgroup":    "4:memory:/docker/abc\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "268435456\n",
		}, 256 * mib},
		"another name that begins alike": {map[string]string{
			"proc/self/mountinfo": "35 31 0:32 /docker/ab /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
			"proc/self/cgroup":    "4:memory:/docker/abc\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "268435456\n",
		}, 256 * mib},
		"both versions, memory with the second": {map[string]string{
			"proc/self/mountinfo": "35 31 0:32 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n" + v2Mount,
			"proc/self/cgroup":    "1:cpu:/x\n0::/a\n", "sys/fs/cgroup/a/memory.max": "268435456\n", "sys/fs/cgroup/cpu/x/memory.limit_in_bytes": "1\n",
		}, 256 * mib},
		"memory beside other controllers": {map[string]string{
			"proc/self/mountinfo": "35 31 0:32 / /cg/all\\040of\\040it rw - cgroup cgroup rw,cpu,memory\n",
			"proc/self/cgroup":    "4:cpu,memory:/a\n", "cg/all of it/a/memory.limit_in_bytes": "268435456\n",
		}, 256 * mib},
		"nonsense": {map[string]string{
			"proc/self/mountinfo": "\n - cgroup2\n1 2 3 - \n" + v2Mount, "proc/self/cgroup": "\n0\n:::\n0::/a:b\n",
			"sys/fs/cgroup/a:b/memory.max": "much\n",
		}, math.MaxInt64},
	} {
		t.Run(name, func(t *testing.T) {
			root := make(fstest.MapFS)
			for path, text := range tt.files {
				root[path] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := memory.GroupMemory(root); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}
