//go:build unix

package secretfile

import (
	"io/fs"
	"os"
	"syscall"
)

const (
	// openFlags keep Open from waiting for a pipe that nobody writes to.
	openFlags = syscall.O_NONBLOCK
	hasModes  = true
)

// isForeign reports whether a file belongs to root, or to another user than this
// process's.
func isForeign(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && (stat.Uid == 0 || int64(stat.Uid) != int64(os.Geteuid()))
}
