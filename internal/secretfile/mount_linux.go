package secretfile

import (
	"os"
	"syscall"
)

// readOnlyMount is ST_RDONLY of statvfs(3).
const readOnlyMount = 1

// isReadOnly reports whether a file was opened through a read-only mount, as a bind
// mount of a file system can be that others may write to.
func isReadOnly(file *os.File) (is bool) {
	conn, err := file.SyscallConn()
	if err != nil {
		return false
	}
	_ = conn.Control(func(fd uintptr) {
		var stat syscall.Statfs_t
		is = syscall.Fstatfs(int(fd), &stat) == nil && stat.Flags&readOnlyMount != 0
	})
	return is
}
