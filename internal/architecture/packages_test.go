package architecture_test

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// Names that say nothing about what is in a package, so that everything ends
// up there.
var emptyNames = []string{
	"util", "utils", "common", "shared", "helper", "helpers", "types", "manager", "service", "core", "pkg", "base", "misc", "lib",
	"internal", "models", "interfaces",
}

func TestPackageNames(t *testing.T) {
	for path, p := range load(t) {
		elements := strings.Split(path, "/")
		for _, name := range append(elements[max(0, len(elements)-1):], p.name) {
			if slices.Contains(emptyNames, name) {
				t.Errorf("package %s: the name %q says nothing", path, name)
			}
		}
		if p.name != strings.ToLower(p.name) || strings.Contains(p.name, "_") {
			t.Errorf("package %s is named %s: names are one word in lower case", path, p.name)
		}
	}
}

// Where a package is explained there must be one answer. Files for one system
// and their counterparts have none of their own.
func TestPackageComments(t *testing.T) {
	for path, p := range load(t) {
		var commented []string
		for name, file := range p.files {
			if file.Doc == nil {
				continue
			}
			commented = append(commented, name)
			want := "Package " + p.name + " "
			if p.name == "main" {
				want = "Command "
			}
			if !strings.HasPrefix(file.Doc.Text(), want) {
				t.Errorf("%s/%s: the package comment does not begin with %q", path, name, want)
			}
		}
		if len(commented) != 1 {
			t.Errorf("package %s has %d package comments, in %v; want one", path, len(commented), commented)
		}
	}
}

// What happens at the start of a program is in its main, in order, where it can
// be read. Package variables that are made by a call come close to init; they
// are not looked for, because most of them are errors.
func TestNoInit(t *testing.T) {
	for path, p := range load(t) {
		for name, file := range p.files {
			for _, decl := range file.Decls {
				if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
					t.Errorf("%s/%s has an init function", path, name)
				}
			}
		}
	}
}

// The rules are tested with what they are made of.
func TestMatches(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"internal/wire", "internal/wire", true},
		{"internal/wire", "internal/wireless", false},
		{"internal/...", "internal/wire", true},
		{"internal/protocol/...", "internal/protocol", true},
		{"internal/protocol/...", "internal/protocols", false},
		{"...", "anything", true},
		{".", ".", true},
		{".", "internal/wire", false},
		{"golang.org/x/sys/...", "golang.org/x/sys/unix", true},
		{"golang.org/x/sys/...", "golang.org/x/net/nettest", false},
	} {
		if got := matches(tt.pattern, tt.name); got != tt.want {
			t.Errorf("matches(%q, %q) = %v", tt.pattern, tt.name, got)
		}
	}
	for imported, want := range map[string]bool{"net/http": true, "unsafe": true, "golang.org/x/sys/unix": false, module: false} {
		if got := standard(imported); got != want {
			t.Errorf("standard(%q) = %v", imported, got)
		}
	}
}
