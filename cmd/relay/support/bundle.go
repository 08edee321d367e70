// Package support writes a bundle for a bug report: one tar.gz of what a relay or a
// forwarder says about itself, and of what matters about its machine. It has no tokens and
// no keys. It has addresses, unless they are replaced.
package support

import (
	"archive/tar"
	"compress/gzip"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/seed96252745/relay/internal/auth"
)

// Bundle is what goes into the file. Its methods are for one goroutine.
type Bundle struct {
	// Made is when it is made.
	Made time.Time
	// Addresses has each address replaced if it is not nil.
	Addresses *Addresses

	files   []file
	missing []string
}

type file struct {
	name    string
	content []byte
}

// AddText adds a file of text. Tokens in it are concealed, and addresses are replaced if
// that is asked for.
func (b *Bundle) AddText(name string, content []byte) {
	text := auth.Conceal(string(content))
	if b.Addresses != nil {
		text = b.Addresses.Replace(text)
	}
	b.files = append(b.files, file{name, []byte(text)})
}

// addProfile adds a file in which there are functions and numbers alone.
func (b *Bundle) addProfile(name string, content []byte) {
	b.files = append(b.files, file{name, content})
}

// miss notes what could not be had.
func (b *Bundle) miss(name string, err error) {
	b.missing = append(b.missing, fmt.Sprintf("%s: %v", name, err))
}

// Names returns the names of the files.
func (b *Bundle) Names() []string {
	names := make([]string, len(b.files))
	for i, f := range b.files {
		names[i] = f.name
	}
	return names
}

// Missing returns what could not be had, and why.
func (b *Bundle) Missing() []string { return b.missing }

// Write writes the bundle, below one folder with that name.
func (b *Bundle) Write(w io.Writer, folder string) error {
	if len(b.missing) > 0 {
		b.AddText("missing.txt", []byte(strings.Join(b.missing, "\n")+"\n"))
	}
	zipped := gzip.NewWriter(w)
	archive := tar.NewWriter(zipped)
	for _, f := range b.files {
		header := &tar.Header{Name: path.Join(folder, f.name), Mode: 0o600, Size: int64(len(f.content)), ModTime: b.Made}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(f.content); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return zipped.Close()
}
