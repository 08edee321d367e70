// Package docs_test checks the pages: what they link to is there.
package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the repository, seen from this package.
const root = ".."

var (
	fence   = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	code    = regexp.MustCompile("`[^`\n]*`")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	// mention is a page that a comment names by its path from the root.
	mention = regexp.MustCompile(`\b(?:docs/[\w/.-]+|[A-Z]{4,})\.md(?:#[\w-]+)?`)
)

// TestLinks follows every link of every page that stays within the repository, to its
// file and its heading, and every mention of a page in the code.
func TestLinks(t *testing.T) {
	pages := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules" || d.Name() == "target" || d.Name() == "bin"):
			return filepath.SkipDir
		case d.IsDir():
			return nil
		}
		var targets []string
		switch filepath.Ext(path) {
		case ".md":
			pages++
			for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(prose(t, path), ""), -1) {
				if !strings.Contains(m[1], "://") {
					targets = append(targets, m[1])
				}
			}
			check(t, path, filepath.Dir(path), targets)
		case ".go":
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			check(t, path, root, mention.FindAllString(string(text), -1))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if pages < 10 {
		t.Errorf("only %d pages were found", pages)
	}
}

// check follows links that are relative to dir.
func check(t *testing.T, from, dir string, targets []string) {
	t.Helper()
	for _, target := range targets {
		file, anchor, _ := strings.Cut(target, "#")
		path := filepath.Join(dir, file)
		if file == "" {
			path = from
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s leads to %s: %v", from, target, err)
		} else if anchor != "" && !anchors(t, path)[anchor] {
			t.Errorf("%s leads to %s, which has no such heading", from, target)
		}
	}
}

// anchors gives the names of a page's headings, as GitHub makes them.
func anchors(t *testing.T, path string) map[string]bool {
	names := make(map[string]bool)
	for _, m := range heading.FindAllStringSubmatch(prose(t, path), -1) {
		text := link.ReplaceAllString(m[1], "")
		text = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(text), "")
		names[strings.ReplaceAll(text, " ", "-")] = true
	}
	return names
}

// prose gives a page without its blocks of code.
func prose(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return fence.ReplaceAllString(string(text), "")
}
