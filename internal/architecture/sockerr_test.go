package architecture_test

import (
	"go/ast"
	"go/build"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// A socket's error that is compared with a name of package syscall is never found
// on Windows: internal/sockerr knows what Winsock returns. EAGAIN is none of a
// socket's here, but what Relay's own calls return that cannot wait.
func TestErrorsOfSocketsAreComparedInOnePlace(t *testing.T) {
	windows := build.Default
	windows.GOOS, windows.GOARCH = "windows", "amd64"
	for path, p := range load(t) {
		if path == "internal/sockerr" {
			continue
		}
		for file, parsed := range p.files {
			if built, err := windows.MatchFile(filepath.Join("../..", path), file); err != nil || !built {
				continue
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				for _, name := range compared(n) {
					t.Errorf("%s/%s compares an error with syscall.%s: use sockerr.Is", path, file, name)
				}
				return true
			})
		}
	}
}

// compared gives the names of package syscall that n compares something with.
func compared(n ast.Node) (names []string) {
	var with []ast.Expr
	switch n := n.(type) {
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Is" && isPackage(f.X, "errors") {
			with = n.Args
		}
	case *ast.BinaryExpr:
		if n.Op == token.EQL || n.Op == token.NEQ {
			with = []ast.Expr{n.X, n.Y}
		}
	case *ast.CaseClause:
		with = n.List
	}
	for _, e := range with {
		s, ok := e.(*ast.SelectorExpr)
		if ok && isPackage(s.X, "syscall") && strings.HasPrefix(s.Sel.Name, "E") && s.Sel.Name != "EAGAIN" {
			names = append(names, s.Sel.Name)
		}
	}
	return names
}

func isPackage(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}
