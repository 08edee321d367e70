// Package secretfile opens files with secrets, and checks who may read them.
package secretfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Open opens a plain file that passes [Check]. It checks the file that it has opened,
// not the path, which may lead to another file by then. It also returns the information
// of a file that was opened and refused.
func Open(path string) (*os.File, fs.FileInfo, error) {
	file, info, err := open(path)
	if err == nil {
		err = Check(file)
	}
	if err != nil {
		closeIfOpen(file)
		return nil, info, err
	}
	return file, info, nil
}

// OpenPlain opens a plain file, which others may read too. It never waits for a pipe that nobody
// writes to.
func OpenPlain(path string) (*os.File, error) {
	file, _, err := open(path)
	if err != nil {
		closeIfOpen(file)
		return nil, err
	}
	return file, nil
}

// open returns also a file that was opened and has an error.
func open(path string) (*os.File, fs.FileInfo, error) {
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
	return file, info, err
}

func closeIfOpen(file *os.File) {
	if file != nil {
		_ = file.Close()
	}
}

func checkKind(path string, mode fs.FileMode) error {
	switch {
	case mode.IsDir():
		return fmt.Errorf("%s is a directory, not a file", path)
	case !mode.IsRegular():
		return fmt.Errorf("%s is a pipe or a device: it must be a plain file", path)
	}
	return nil
}

// Check returns an error if others may read an open file who should not. Only its owner
// may write it, and only the owner may read it, with two exceptions for people who
// cannot choose. The group may read it if the owner is root, or another user than this
// process: then the process reads it by its group, as in Kubernetes with an fsGroup.
// Everybody may read it on a read-only mount, where Docker and Kubernetes keep secrets.
func Check(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	return access{mode: info.Mode().Perm(), foreign: isForeign(info), readOnly: isReadOnly(file)}.check(file.Name())
}

// access holds who may do what with a file.
type access struct {
	mode     fs.FileMode
	foreign  bool // belongs to root, or to another user than this process's
	readOnly bool // on a mount that nobody can write to
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
