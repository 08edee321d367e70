package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is something that is wrong in a file.
type Fault struct {
	Position
	Key   string // dotted; "" for what is about no key
	Wrong string
	Right string // what would be right, or ""
}

// Faults is the error of a file: all that is wrong in it.
type Faults struct {
	Path string
	List []Fault
}

// maxFaults bounds what is said about one file: more than that nobody reads.
const maxFaults = 50

// Error has a line for each fault, as compilers write theirs.
func (f *Faults) Error() string {
	var lines []string
	for i, fault := range f.List {
		if i == maxFaults {
			lines = append(lines, fmt.Sprintf("%s: and %d more", f.Path, len(f.List)-i))
			break
		}
		lines = append(lines, fault.in(f.Path))
	}
	return strings.Join(lines, "\n")
}

func (f Fault) in(path string) string {
	var b strings.Builder
	b.WriteString(path)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	if f.Key != "" {
		fmt.Fprintf(&b, ": %s", f.Key)
	}
	fmt.Fprintf(&b, ": %s", f.Wrong)
	if f.Right != "" {
		fmt.Fprintf(&b, "; %s", f.Right)
	}
	return b.String()
}

// Join returns all faults of a file as one error, in the order of its lines, or nil if there
// is none.
func Join(path string, all ...Fault) error {
	if len(all) == 0 {
		return nil
	}
	var list []Fault
	seen := make(map[Fault]bool)
	for _, fault := range all {
		if !seen[fault] { // what services have in common is looked at for each of them
			list = append(list, fault)
		}
		seen[fault] = true
	}
	slices.SortStableFunc(list, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &Faults{Path: path, List: list}
}

// Fault returns a fault of the key in this file.
func (f *File) Fault(key, wrong, right string) Fault {
	return Fault{Position: f.At(key), Key: key, Wrong: wrong, Right: right}
}

// ServiceKey returns the dotted name of a service's table.
func ServiceKey(name string) string { return join("services", name) }
