package observe_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/observe"
)

// An operator filters by identifiers: docs/operating.md has all that the code has, and no
// others.
func TestIdentifiersAreInTheDocs(t *testing.T) {
	code := constants(t)
	code["field"] = fieldNames()
	code["limit"] = limits
	if names := names(); !slices.Equal(slices.Sorted(slices.Values(code["event"])), names) {
		t.Errorf("Names returns %q, and the code has %q", names, code["event"])
	}
	documented := tables(t)
	for kind, want := range code {
		slices.Sort(want)
		got := slices.Sorted(maps.Keys(documented[kind]))
		if !slices.Equal(got, slices.Compact(want)) {
			t.Errorf("docs/operating.md lists as %s\n%q\nthe code has\n%q", kind, got, want)
		}
	}
}

// names returns what Names does, in alphabetical order.
func names() (names []string) {
	for _, name := range observe.Names() {
		names = append(names, string(name))
	}
	slices.Sort(names)
	return names
}

// limits are those of package admission that delay or refuse somebody.
var limits = []string{
	"users", "descriptors", "users_per_source", "users_per_second", "users_of_tunnel", "users_per_second_of_tunnel",
	"handshakes", "handshakes_per_source",
}

// constants returns the values of the package's identifiers, by the headings of their
// tables.
func constants(t *testing.T) map[string][]string {
	t.Helper()
	headings := map[string]string{"Name": "event", "Party": "endedBy", "How": "how", "Reason": "reason", "State": "state"}
	found := make(map[string][]string)
	see := func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		kind, _ := spec.Type.(*ast.Ident)
		if kind == nil || headings[kind.Name] == "" {
			return true
		}
		if value, ok := spec.Values[0].(*ast.BasicLit); ok {
			text, err := strconv.Unquote(value.Value)
			if err != nil {
				t.Error(err)
			}
			found[headings[kind.Name]] = append(found[headings[kind.Name]], text)
		} else { // a way in which a connection ends that is a reason, too
			found["how"] = append(found["how"], map[string]string{"Drain": "drain", "ByPanic": "panic"}[spec.Names[0].Name])
		}
		return true
	}
	for _, name := range []string{"event.go", "ending.go", "reason.go", "state.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, see)
	}
	return found
}

var inCode = regexp.MustCompile("`([A-Za-z_]+)`")

// tables returns the identifiers in the first columns of the tables about the log, by the
// headings of those.
func tables(t *testing.T) map[string]map[string]bool {
	t.Helper()
	page, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## The log\n")
	section, _, _ = strings.Cut(section, "\n## ")
	found := make(map[string]map[string]bool)
	heading := ""
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		switch {
		case len(cells) < 3:
			heading = ""
		case heading == "":
			heading = strings.Trim(cells[1], " `")
			found[heading] = make(map[string]bool)
		default:
			for _, match := range inCode.FindAllStringSubmatch(cells[1], -1) {
				found[heading][match[1]] = true
			}
		}
	}
	return found
}
