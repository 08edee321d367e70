package auth

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/seed96252745/relay/internal/secretfile"
)

// maxAdd bounds a file that Add adds to, which it reads as a whole: 100,000 lines of 160
// bytes.
const maxAdd = 16 << 20

// Add adds a token at the end of the file, with all that the relay lets anybody do, and has
// it in force. It returns the secret, which is stored nowhere. The file stays as it is if
// the name is taken, or the file would be wrong.
func (f *File) Add(name string) (secret string, err error) {
	id, secret, err := New(name)
	if err != nil {
		return "", err
	}
	f.loadMu.Lock()
	defer f.loadMu.Unlock()
	content, err := f.content()
	if err != nil {
		return "", err
	}
	tokens, err := Parse(f.path, bytes.NewReader(content))
	if err != nil {
		return "", err
	}
	if tokens.byName[name] != nil {
		return "", fmt.Errorf("%s: there is a token of that name already", name)
	}
	line := id.Line() + "\n"
	if len(content) > 0 && content[len(content)-1] != '\n' {
		line = "\n" + line
	}
	if _, err := Parse(f.path, io.MultiReader(bytes.NewReader(content), strings.NewReader(line))); err != nil {
		return "", err
	}
	if err := appendTo(f.path, line, int64(len(content))); err != nil {
		return "", err
	}
	return secret, f.loadLocked()
}

// content returns the whole file.
func (f *File) content() ([]byte, error) {
	file, _, err := secretfile.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	content, err := io.ReadAll(io.LimitReader(file, maxAdd+1))
	if err == nil && len(content) > maxAdd {
		err = fmt.Errorf("%s has more than %d bytes: add to it with relay token new", f.path, maxAdd)
	}
	return content, err
}

// appendTo appends a line to a file of this size: all of it, or nothing.
func appendTo(path, line string, size int64) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if _, err = file.WriteString(line); err == nil {
		err = file.Sync()
	}
	if err != nil {
		_ = file.Truncate(size) // half a line would be a wrong file
		_ = file.Close()
		return err
	}
	return file.Close()
}
