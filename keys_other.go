//go:build !unix

package relay

import "io/fs"

// othersMay knows no modes here.
func othersMay(fs.FileInfo) bool { return false }
