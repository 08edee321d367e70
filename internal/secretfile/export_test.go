package secretfile

import "io/fs"

// CheckAccess is Check for a file that is made up.
func CheckAccess(path string, mode fs.FileMode, foreign, readOnly bool) error {
	return access{mode, foreign, readOnly}.check(path)
}
