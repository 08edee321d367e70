package auth

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Read reads a tokens file as a relay does. It refuses one that others than its
// owner may read or write.
func Read(path string) (*Tokens, error) {
	tokens, _, err := read(path)
	return tokens, err
}

// read also gives what file it was that is good or wrong, if it could be opened.
func read(path string) (*Tokens, fs.FileInfo, error) {
	file, info, err := openPrivate(path)
	if err != nil {
		return nil, info, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	tokens, err := Parse(path, file)
	return tokens, info, err
}

// openPrivate opens a file that is its owner's alone. It asks what it has opened,
// not what has the path: that may be another file by then.
func openPrivate(path string) (*os.File, fs.FileInfo, error) {
	if path == "" {
		return nil, nil, errors.New("the path of the file is empty")
	}
	file, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil {
		err = checkPrivate(path, info)
	}
	if err != nil {
		_ = file.Close()
		return nil, info, err
	}
	return file, info, nil
}

func checkPrivate(path string, info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode.IsDir():
		return fmt.Errorf("%s is a directory, and no file", path)
	case !mode.IsRegular():
		return fmt.Errorf("%s is a pipe or a device: it has to be a plain file", path)
	case hasModes && mode.Perm()&0o077 != 0:
		return fmt.Errorf("%s is open to others than its owner, with mode %04o: chmod 600 %s", path, mode.Perm(), path)
	}
	return nil
}
