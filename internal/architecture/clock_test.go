package architecture_test

import (
	"go/ast"
	"slices"
	"testing"
)

// A time of day jumps when somebody sets the clock; what time.Now gives also
// holds a monotonic one, as long as it is neither made of a number nor rounded.
// So nothing here computes with the former, and a clock that is set changes no
// deadline. Tokens expire by the calendar: internal/auth compares time.Now with a
// time that it has read, which has no monotonic clock and needs none of these.
func TestNobodyReadsTheTimeOfDay(t *testing.T) {
	forbidden := []string{"Unix", "UnixMilli", "UnixMicro", "UnixNano", "Truncate"}
	for name, p := range load(t) {
		for file, parsed := range p.files {
			ast.Inspect(parsed, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				f, ok := call.Fun.(*ast.SelectorExpr)
				if ok && !isFile(f.X) && (slices.Contains(forbidden, f.Sel.Name) && !longPast(call.Args) || f.Sel.Name == "Round" && isZero(call.Args)) {
					t.Errorf("%s, %s: %s takes the monotonic clock away", name, file, f.Sel.Name)
				}
				return true
			})
		}
	}
}

// isFile reports whether an expression is a file by its name, which can be truncated too.
func isFile(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == "file"
}

// longPast reports whether the arguments are all literals, as those of time.Unix(1, 0)
// are: a deadline that is over, whatever the time of day is.
func longPast(args []ast.Expr) bool {
	return len(args) > 0 && !slices.ContainsFunc(args, func(arg ast.Expr) bool {
		_, ok := arg.(*ast.BasicLit)
		return !ok
	})
}

// isZero reports whether the arguments are a literal 0: Round(0) is how a time is
// asked to lose its monotonic reading, and any other Round is a duration's.
func isZero(args []ast.Expr) bool {
	if len(args) != 1 {
		return false
	}
	literal, ok := args[0].(*ast.BasicLit)
	return ok && literal.Value == "0"
}
