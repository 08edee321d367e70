package secretfile

import (
	"errors"
	"os"
)

// Write writes a file of a folder, and makes the folder if it is missing: a file that only the owner can read: all of it or nothing,
// whenever the machine stops.
func Write(dir, name string, content []byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, ".new-*") // for the owner only
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }() // fails once it is renamed
	_, err = file.Write(content)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), name); err != nil {
		return err
	}
	syncDir(dir)
	return nil
}

// syncDir makes the name of a new file survive a loss of power, where the system can do
// that for a directory.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}
