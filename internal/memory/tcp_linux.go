package memory

import (
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// TCP returns how many bytes all sockets may hold together before the kernel is short of
// memory for them. It then drops what comes, for each process alike: the second figure
// of tcp_mem (tcp(7)). A container may not see that file, and then the bound is what the
// kernel makes of the machine's memory. The sockets of a control group count as memory
// of the group, so they get the same part of that.
func TCP() int64 { return tcpMemory(os.DirFS("/"), machineMemory(), int64(os.Getpagesize())) }

func tcpMemory(root fs.FS, machine, page int64) int64 {
	ofMachine := machine / tcpShare
	text, _ := fs.ReadFile(root, "proc/sys/net/ipv4/tcp_mem")
	const pressure, figures = 1, 3
	if pages := strings.Fields(string(text)); len(pages) == figures {
		if n, err := strconv.ParseInt(pages[pressure], 10, 64); err == nil {
			ofMachine = n * page
		}
	}
	return min(ofMachine, groupMemory(root)/tcpShare)
}
