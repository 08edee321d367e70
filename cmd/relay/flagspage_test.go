package main_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	relay "github.com/seed96252745/relay/cmd/relay"
)

// docs/flags.md has every flag, with its default and what kind of value it takes, in
// the order of the help.
func TestFlagsPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/flags.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := make(map[string]string)
	for _, section := range strings.Split(string(text), "\n## ") {
		title, body, _ := strings.Cut(section, "\n")
		sections[title] = body
	}
	row := regexp.MustCompile("(?m)^\\| `--([\\w-]+)` \\| ([^|]+) \\| ([^|]+) \\| [^|]+ \\|$")
	tables := relay.FlagTables()
	for title, flags := range tables {
		rows := row.FindAllStringSubmatch(sections[title], -1)
		delete(sections, title)
		var want, got []string
		for _, flag := range flags {
			want = append(want, flag.Name)
		}
		for _, r := range rows {
			got = append(got, r[1])
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: the page has\n%q, and the command\n%q", title, got, want)
			continue
		}
		for i, flag := range flags {
			checkFlagRow(t, title, flag, rows[i][2], rows[i][3])
		}
	}
	if len(tables) < 7 {
		t.Errorf("the command has flags for %q only", slices.Collect(maps.Keys(tables)))
	}
	for title, body := range sections {
		if row.MatchString(body) {
			t.Errorf("%s: the page has flags that the command does not have", title)
		}
	}
}

func checkFlagRow(t *testing.T, title string, flag *pflag.Flag, value, is string) {
	t.Helper()
	kind, ok := map[string]string{"int": "number", "duration": "duration", "bool": "switch"}[flag.Value.Type()]
	if ok && !strings.HasPrefix(value, kind) {
		t.Errorf("%s: the value of --%s is %q on the page, and has to begin with %q", title, flag.Name, value, kind)
	}
	switch flag.DefValue {
	case "", "[]", "0", "0s": // is said in words
		return
	case "false":
		if is != "off" {
			t.Errorf("%s: --%s is %q by default on the page, not off", title, flag.Name, is)
		}
		return
	}
	literal := strings.Trim(is, "`")
	if d, err := time.ParseDuration(literal); err == nil {
		literal = d.String()
	}
	if is == literal || literal != flag.DefValue {
		t.Errorf("%s: --%s is %s by default on the page, and %q in the command", title, flag.Name, is, flag.DefValue)
	}
}

// Every flag that a page names exists.
func TestPagesNameFlags(t *testing.T) {
	is := map[string]bool{"help": true, "version": true}
	for _, flags := range relay.FlagTables() {
		for _, flag := range flags {
			is[flag.Name] = true
		}
	}
	named := regexp.MustCompile("`--([\\w-]+)")
	hyphen := regexp.MustCompile(`-\w`)
	for _, pattern := range []string{"../../README.md", "../../SECURITY.md", "../../docs/*.md", "../../docs/how-to/*.md"} {
		pages, err := filepath.Glob(pattern)
		if err != nil || len(pages) == 0 {
			t.Fatalf("%s: there is no page: %v", pattern, err)
		}
		for _, page := range pages {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range named.FindAllStringSubmatch(string(text), -1) {
				name := hyphen.ReplaceAllStringFunc(m[1], func(s string) string { return strings.ToUpper(s[1:]) })
				if !is[name] {
					t.Errorf("%s: there is no flag --%s", page, m[1])
				}
			}
		}
	}
}
