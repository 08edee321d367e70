//go:build !unix

package secretfile

import "io/fs"

const (
	openFlags = 0
	// hasModes is false: a file's mode does not say here who may read it.
	hasModes = false
)

func isForeign(fs.FileInfo) bool { return false }
