package secretfile

import "io/fs"

// CheckAccess is Check for a made-up file.
func CheckAccess(path string, mode fs.FileMode, foreign, readOnly bool) error {
	return access{mode, foreign, readOnly}.check(path)
}
