package architecture_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/seed96252745/relay"

// pkg is a package of the module, over the files for all systems: a rule that
// held on Linux only would be none.
type pkg struct {
	name    string
	files   map[string]*ast.File // without tests, by name
	imports []string             // without those of tests
}

// load parses the module. Its packages are named by their paths within it; the
// one at the top is ".".
func load(t *testing.T) map[string]*pkg {
	t.Helper()
	const root = "../.."
	packages := make(map[string]*pkg)
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			return skipDir(root, file, name)
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(fset, file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		return add(packages, filepath.ToSlash(dir), name, parsed)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".", "internal/wire", "internal/join", "internal/server", "cmd/relay"} {
		if packages[name] == nil {
			t.Fatalf("package %s was not found", name) // and so the rules would hold for nothing
		}
	}
	return packages
}

// skipDir passes over what the go command passes over, and over other modules.
func skipDir(root, dir, name string) error {
	if dir == root {
		return nil
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	if err == nil || name == "testdata" || name == "vendor" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
		return fs.SkipDir
	}
	return nil
}

func add(packages map[string]*pkg, dir, name string, file *ast.File) error {
	p := packages[dir]
	if p == nil {
		p = &pkg{name: file.Name.Name, files: make(map[string]*ast.File)}
		packages[dir] = p
	}
	p.files[name] = file
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		if !slices.Contains(p.imports, imported) {
			p.imports = append(p.imports, imported)
		}
	}
	return nil
}

// within gives the name that load gives to an import of this module.
func within(imported string) (name string, ours bool) {
	if imported == module {
		return ".", true
	}
	return strings.CutPrefix(imported, module+"/")
}

// standard reports whether an import is of the standard library: those have no
// dot in their first element.
func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

// matches reports whether an import, or a package of this module, is meant by a
// pattern: itself, what is below it ("x/..."), or anything ("...").
func matches(pattern, name string) bool {
	below, all := strings.CutSuffix(pattern, "...")
	if !all {
		return pattern == name
	}
	return below == "" || name == path.Clean(below) || strings.HasPrefix(name, below)
}

// dependencies gives all that a package depends on, with a way to it for each.
// What other modules depend on is theirs.
func dependencies(packages map[string]*pkg, of string) map[string]string {
	ways := make(map[string]string)
	var visit func(name, way string)
	visit = func(name, way string) {
		for _, imported := range packages[name].imports {
			if inner, ours := within(imported); ours {
				imported = inner
			}
			if _, seen := ways[imported]; seen {
				continue
			}
			ways[imported] = way + " -> " + imported
			if packages[imported] != nil {
				visit(imported, ways[imported])
			}
		}
	}
	visit(of, of)
	return ways
}
