package memory_test

import (
	"testing"
	"testing/fstest"

	"github.com/seed96252745/relay/internal/memory"
)

// What sockets may hold, on machines and in containers of all kinds.
func TestTCPMemory(t *testing.T) {
	const machine, page = 16 << 30, 4096
	const ofMachine = machine / 16
	group := map[string]string{"proc/self/mountinfo": v2Mount, "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "268435456\n"}
	with := func(files map[string]string, tcpMem string) map[string]string {
		all := map[string]string{"proc/sys/net/ipv4/tcp_mem": tcpMem}
		for path, text := range files {
			all[path] = text
		}
		return all
	}
	for name, tt := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"a machine":                           {with(nil, "100\t200\t300\n"), 200 * page},
		"a machine with much for sockets":     {with(nil, "1 8388608 9000000\n"), 8388608 * page},
		"a container that does not see it":    {nil, ofMachine},
		"nonsense":                            {with(nil, "1 much 3\n"), ofMachine},
		"other figures":                       {with(nil, "200\n"), ofMachine},
		"a group":                             {group, 16 * mib},
		"a group of a machine with less":      {with(group, "100 200 300\n"), 200 * page},
		"a group of a machine with more":      {with(group, "1 8388608 9000000\n"), 16 * mib},
		"a group on a machine without bounds": {with(group, ""), 16 * mib},
	} {
		t.Run(name, func(t *testing.T) {
			root := make(fstest.MapFS)
			for path, text := range tt.files {
				root[path] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := memory.TCPMemory(root, machine, page); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}
