package architecture_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// words are those that have to be read twice, also where a line ends between them.
// Instead of whoever, name the user, the relay client, the operator or the attacker.
var words = regexp.MustCompile(`(?i)\b(whoever|(tells|says)` + gap + `whether|the` + gap + `one` + gap + `of` + gap + `before)\b`)

// gap is between two words of a text or of a comment.
const gap = `\s+(?://\s*|#\s*)?`

// TestWords holds comments and pages to plain English.
func TestWords(t *testing.T) {
	const root = "../.."
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if file != root && (strings.HasPrefix(name, ".") && name != ".ci" || name == "node_modules" || name == "target" || name == "bin") {
				return fs.SkipDir
			}
			return nil
		}
		path, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		path = filepath.ToSlash(path)
		ext := filepath.Ext(name)
		if name == "words_test.go" || ext != ".go" && ext != ".md" && name != "Makefile" && !strings.HasPrefix(path, ".ci/") {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, at := range words.FindAllIndex(text, -1) {
			t.Errorf("%s:%d: %q", path, 1+bytes.Count(text[:at[0]], []byte("\n")), text[at[0]:at[1]])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
