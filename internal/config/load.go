package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/seed96252745/relay/internal/secretfile"
)

// maxSize bounds what is read: a thousand services have a tenth of it.
const maxSize = 1 << 20

// Load reads a file. If something is wrong in it, the error is a *Faults, and the file has what
// is right: a caller that knows what values mean goes on to look for faults in those, so that a
// person is told of all at once. Such a file is of no other use.
//
// Paths come out relative to the folder of the file.
func Load(path string) (*File, error) {
	opened, err := secretfile.OpenPlain(path)
	if err != nil {
		return nil, explainOpen(path, err)
	}
	defer func() { _ = opened.Close() }()
	data, err := io.ReadAll(io.LimitReader(opened, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", path, err)
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // with which editors on Windows mark UTF-8
	if err := checkText(path, data); err != nil {
		return nil, err
	}
	p := parse(data)
	p.file.Path = path
	p.file.resolvePaths(filepath.Dir(path))
	p.checkServices()
	if err := secretfile.Check(opened); err != nil {
		p.refuseSecrets(path)
	}
	return p.file, Join(path, p.faults...)
}

func explainOpen(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no file %s: relay init %[1]s   writes one to begin with", path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s cannot be read by the user who runs relay: make it readable for that user, and for nobody else if it has a token", path)
	case isDirectory(path):
		return fmt.Errorf("%s is a folder: give the path of a file, such as %s", path, filepath.Join(path, "relay.toml"))
	}
	return err
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// checkText refuses what is not the text of a person.
func checkText(path string, data []byte) error {
	switch {
	case len(data) > maxSize:
		return fmt.Errorf("%s has more than %d bytes: that is no configuration", path, maxSize)
	case len(bytes.TrimSpace(data)) == 0:
		return fmt.Errorf("%s is empty: relay init   writes a file to begin with", path)
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return fmt.Errorf("%s is in UTF-16: save it in UTF-8", path)
	case bytes.IndexByte(data, 0) >= 0:
		return fmt.Errorf("%s is no text: it has bytes that are zero", path)
	case !utf8.Valid(data):
		return fmt.Errorf("%s:%d: that is no UTF-8: save the file in UTF-8", path, lineOfInvalid(data))
	}
	return nil
}

// lineOfInvalid returns the line with the first bytes that are no UTF-8.
func lineOfInvalid(data []byte) int {
	rest, line := data, 1
	for len(rest) > 0 {
		r, size := utf8.DecodeRune(rest)
		if r == utf8.RuneError && size <= 1 {
			break
		}
		if r == '\n' {
			line++
		}
		rest = rest[size:]
	}
	return line
}
