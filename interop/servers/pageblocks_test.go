//go:build linux

package servers_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// A page shows commands in blocks of sh, and after such a block their output in a block
// of text. A further block of text is the output of one of the programs that still run.
// Any other block is a file, whose first line is a comment with its name; or Go, a part
// of the program on the page about the library. A comment before a block, <!-- not run:
// why -->, skips it.

// block is a fenced block of a page.
type block struct {
	line   int
	kind   string // sh, text, or the kind of a file
	text   string
	file   string // its name
	leave  string // why it is not run
	follow bool   // a block of text right after one of sh
}

var (
	fenceLine = regexp.MustCompile("^ *```(.*)$")
	notRun    = regexp.MustCompile(`^<!-- not run: (.+) -->$`)
	fileName  = regexp.MustCompile(`^(?:#|//) (\S+)\n`)
	unfenced  = regexp.MustCompile(`^(?: {4}|\t)\S|^ *(?:~~~|<pre)`)
)

// readBlocks returns the blocks of a page, and fails the test on a malformed one.
func readBlocks(t *testing.T, path string) (blocks []block) {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b *block // the current one
	leave, before := "", ""
	for i, line := range strings.Split(string(page), "\n") {
		m := fenceLine.FindStringSubmatch(line)
		switch {
		case b != nil && m != nil:
			b.finish(t, path, blocks)
			blocks, b = append(blocks, *b), nil
		case b != nil:
			b.text += line + "\n"
		case m != nil:
			b, leave = &block{line: i + 1, kind: m[1], leave: leave}, ""
		case unfenced.MatchString(line) && before == "":
			t.Errorf("%s:%d: a block without a fence is not run", path, i+1)
		case notRun.MatchString(line):
			leave = notRun.FindStringSubmatch(line)[1]
		case strings.TrimSpace(line) != "" && leave != "":
			t.Errorf("%s:%d: the comment before this line belongs to no block", path, i+1)
		}
		before = strings.TrimSpace(line)
	}
	if b != nil {
		t.Errorf("%s:%d: this block has no end", path, b.line)
	}
	return blocks
}

// finish finds out what a block is.
func (b *block) finish(t *testing.T, path string, before []block) {
	switch {
	case b.leave != "" || b.kind == "sh":
	case b.kind == "text":
		b.follow = len(before) > 0 && before[len(before)-1].kind == "sh"
		if len(before) == 0 {
			t.Errorf("%s:%d: nothing has printed this yet", path, b.line)
		}
	case fileName.MatchString(b.text):
		b.file = fileName.FindStringSubmatch(b.text)[1]
	case b.kind != "go" || !isExcerpt(t, b.text):
		t.Errorf("%s:%d: a block of %q that begins with no comment with the name of a file", path, b.line, b.kind)
	}
}

// isExcerpt reports whether code is a part of the program on the page about the
// library, which is run.
func isExcerpt(t *testing.T, code string) bool {
	t.Helper()
	page, err := os.ReadFile("../../docs/how-to/go-library.md")
	if err != nil {
		t.Fatal(err)
	}
	flat := func(s string) string { return regexp.MustCompile(`(?m)^\t+`).ReplaceAllString(s, "") }
	return strings.Contains(flat(string(page)), flat(code))
}

// stays matches a command that runs until it is told to end.
var stays = staying{regexp.MustCompile(`^(relay( \S+)* \d+|relay --config \S+|redis-server .*|nginx|prometheus .*|python3 (-m http\.server|interop/).*|go run .*)$`)}

type staying struct{ *regexp.Regexp }

// MatchString leaves out the doctor, whose command lines look like those of what it looks at.
func (s staying) MatchString(command string) bool {
	return !strings.HasPrefix(command, "relay doctor ") && s.Regexp.MatchString(command)
}

// commands returns the commands of a block, without comments and each on one line.
func (b block) commands() (commands []string) {
	for line := range strings.SplitSeq(strings.ReplaceAll(b.text, "\\\n", " "), "\n") {
		line = strings.Join(strings.Fields(line), " ")
		if line != "" && !strings.HasPrefix(line, "#") {
			commands = append(commands, line)
		}
	}
	return commands
}

// terminal returns the terminal for a command that keeps running: a relay, and a
// forwarder for each server and name, has its own terminal. The previous command there
// is stopped before the next one.
func terminal(command string) string {
	if local := regexp.MustCompile(`--localForwardPort=\S+`).FindString(command); local != "" {
		return local + regexp.MustCompile(` --name=\S+`).FindString(command)
	}
	if strings.HasPrefix(command, "relay ") && !strings.HasPrefix(command, "relay --config ") {
		return "relay"
	}
	return command
}
