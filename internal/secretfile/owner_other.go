//go:build !unix

package secretfile

import "io/fs"

const (
	openFlags = 0
	// hasModes is false: who may read a file is not in its mode here.
	hasModes = false
)

func isForeign(fs.FileInfo) bool { return false }
