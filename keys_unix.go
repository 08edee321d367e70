//go:build unix

package relay

import "io/fs"

// othersMay tells whether anybody but the owner may do something with a file.
func othersMay(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }
