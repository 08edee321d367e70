//go:build !linux

package secretfile

import "os"

// isReadOnly is false where mounts are not asked: containers are Linux's.
func isReadOnly(*os.File) bool { return false }
