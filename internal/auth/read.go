package auth

import (
	"io/fs"

	"github.com/seed96252745/relay/internal/secretfile"
)

// Read reads a tokens file as a relay does. It refuses a file that others may read or
// write, as [secretfile.Check] says.
func Read(path string) (*Tokens, error) {
	tokens, _, err := read(path)
	return tokens, err
}

// read also returns which file was good or wrong, if it could be opened.
func read(path string) (*Tokens, fs.FileInfo, error) {
	file, info, err := secretfile.Open(path)
	if err != nil {
		return nil, info, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	tokens, err := Parse(path, file)
	return tokens, info, err
}
