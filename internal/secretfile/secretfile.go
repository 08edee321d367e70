// Package secretfile opens files with secrets in them, and says whose they have to be.
package secretfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Open opens a plain file that [Check] lets pass. It asks what it has opened, not what
// has the path: that may be another file by then. The information is of a file that was
// opened and refused, too.
func Open(path string) (*os.File, fs.FileInfo, error) {
	if path == "" {
		return nil, nil, errors.New("the path of the file is empty")
	}
	file, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil {
		err = checkKind(path, info.Mode())
	}
	if err == nil {
		err = Check(file)
	}
	if err != nil {
		_ = file.Close()
		return nil, info, err
	}
	return file, info, nil
}

func checkKind(path string, mode fs.FileMode) error {
	switch {
	case mode.IsDir():
		return fmt.Errorf("%s is a directory, and no file", path)
	case !mode.IsRegular():
		return fmt.Errorf("%s is a pipe or a device: it has to be a plain file", path)
	}
	return nil
}

// Check says what is wrong with the mode of an open file, if others may read it who
// should not. Nobody but its owner may write it, and only the owner may read it, with
// two exceptions for who cannot choose: its group may read it if the owner is root, or
// another user than this process, so that the group is how the process gets at it, as in
// Kubernetes with an fsGroup; and everybody may if it is on a read-only mount, as the
// secrets of Docker and of Kubernetes are.
func Check(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	return access{mode: info.Mode().Perm(), foreign: isForeign(info), readOnly: isReadOnly(file)}.check(file.Name())
}

// access is who may do what with a file.
type access struct {
	mode     fs.FileMode
	foreign  bool // is root's, or another user's than this process's
	readOnly bool // is on a mount that nobody can write to
}

const (
	others      = 0o007
	group       = 0o070
	writeOthers = 0o022
)

func (a access) check(path string) error {
	open := fmt.Sprintf("%s is open to others than its owner, with mode %04o: chmod 600 %s", path, a.mode, path)
	switch {
	case !hasModes || a.mode&(group|others) == 0:
		return nil
	case a.mode&writeOthers != 0:
		return errors.New(open)
	case a.readOnly, a.foreign && a.mode&others == 0:
		return nil
	case a.foreign:
		return fmt.Errorf("%s, or 640; everybody may read it on a read-only mount alone", open)
	}
	return fmt.Errorf("%s; its group may read it if it is root's, or another user's, and everybody on a read-only mount", open)
}
