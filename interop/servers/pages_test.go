//go:build linux

package servers_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// leftOut is how many blocks of all pages are not run. The pages give the reasons.
const leftOut = 21

// TestPages does what the pages for users say: all of README.md,
// docs/getting-started.md, docs/ssh.md and docs/how-to, each page in its own world.
func TestPages(t *testing.T) {
	pages, err := filepath.Glob("../../docs/how-to/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("there are no pages: %v", err)
	}
	var left []string
	for _, path := range append(pages, "../../README.md", "../../docs/getting-started.md", "../../docs/ssh.md") {
		blocks := readBlocks(t, path)
		for _, b := range blocks {
			if b.leave != "" {
				left = append(left, fmt.Sprintf("%s:%d: %s", path, b.line, b.leave))
				checkLeft(t, path, b)
			}
		}
		t.Run(strings.TrimSuffix(filepath.Base(path), ".md"), func(t *testing.T) {
			t.Parallel()
			newWorld(t, path, blocks).follow(blocks)
		})
	}
	if len(left) != leftOut {
		t.Errorf("%d blocks are left out, not %d:\n%s", len(left), leftOut, strings.Join(left, "\n"))
	}
}

// checkLeft looks up in the gate what it is said to run.
func checkLeft(t *testing.T, path string, b block) {
	gate, err := os.ReadFile("../../.ci/run")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.commands() {
		if b.leave == "the gate runs it" && !strings.Contains(string(gate), "\n"+c) {
			t.Errorf("%s:%d: .ci/run does not run %q", path, b.line, c)
		}
	}
}

// follow does what the blocks of a page say.
func (w *world) follow(blocks []block) {
	for i, b := range blocks {
		switch {
		case b.leave != "" || b.follow || b.kind == "go" && b.file == "":
		case b.kind == "text":
			w.expectLater(b)
		case b.kind != "sh":
			w.write(b)
		case i+1 < len(blocks) && blocks[i+1].follow && blocks[i+1].leave == "":
			w.run(b, &blocks[i+1])
		default:
			w.run(b, nil)
		}
	}
	for _, p := range w.running {
		select {
		case <-p.exited:
			w.t.Errorf("%s: %v has ended by itself: %v\n%s", w.page, p.cmd, p.cmd.ProcessState, p.text)
		default:
		}
	}
}

// run runs the commands of a block, in one shell. They have to succeed, and to print
// what shows has and nothing else. If the last one keeps running, run returns once it
// has printed that, and it may print more.
func (w *world) run(b block, shows *block) {
	w.t.Helper()
	commands := b.commands()
	last := w.systemd(b, commands[len(commands)-1])
	commands[len(commands)-1] = last
	staying := stays.MatchString(last)
	for i, c := range commands {
		if stays.MatchString(c) && i < len(commands)-1 {
			w.t.Fatalf("%s:%d: %q stays, so that the commands after it would not be run", w.page, b.line, c)
		}
		commands[i] = w.real(b, c)
	}
	if staying {
		w.stop(terminal(last))
		commands[len(commands)-1] = "exec " + commands[len(commands)-1]
	}
	p := w.start(strings.Join(commands, "\n"))
	switch {
	case staying && shows == nil:
		w.t.Fatalf("%s:%d: what %q prints has to be on the page: it is waited for", w.page, b.line, last)
	case staying:
		p.terminal = terminal(last)
		w.running = append(w.running, p)
		w.expect(*shows, w.pattern(*shows, true), p)
	default:
		<-p.exited
		if !p.cmd.ProcessState.Success() {
			w.t.Fatalf("%s:%d: %v:\n%s", w.page, b.line, p.cmd.ProcessState, p.text)
		}
		if shows != nil {
			w.expect(*shows, w.pattern(*shows, false), p)
		}
	}
}

// expectLater waits for output of one of the programs that still run.
func (w *world) expectLater(b block) {
	w.t.Helper()
	w.expect(b, w.pattern(b, true), w.running...)
}

// words match what stands for something else in the test: the relay's host and its
// public ports, other ports, the user's account, and words such as relay_..., which
// stand for what is printed first in their place.
var words = regexp.MustCompile(`/etc/|/var/lib/|(?:--localForwardPort=|localhost:)25565\b|relay\.example\.com|\b20000-29999\b|\b(?:5432|6379|2222|80(?:[08]0|8[1-9])|9090|2[05]\d{3})\b|[=: ](?:22|80)\b|\byou@|\b[\w/]+\.\.\.`)

// real returns a command, or a file, as it is in the test.
func (w *world) real(b block, text string) string {
	w.t.Helper()
	text = words.ReplaceAllStringFunc(text, func(word string) string {
		if real, ok := w.names[word]; ok {
			return real
		}
		if strings.HasSuffix(word, "...") {
			w.t.Fatalf("%s:%d: nothing has been printed that %s could stand for", w.page, b.line, word)
		}
		digits := strings.TrimLeft(word, "=: ")
		return strings.TrimSuffix(word, digits) + w.port(digits)
	})
	if rest, ok := strings.CutPrefix(text, "relay "); ok && stays.MatchString(text) {
		flags := "--logFormat=text "
		if strings.HasSuffix(text, "/relay.toml") {
			flags += "--bind=" + loopback + " --ports=" + w.names["20000-29999"] + " "
		} else if !strings.Contains(text, "--localForwardPort") && !strings.Contains(text, "--config") {
			flags += "--bind=" + loopback + " "
			if !strings.Contains(text, "--ports") {
				flags += "--ports=" + w.names["20000-29999"] + " "
			}
		}
		text = "relay " + flags + rest
	}
	return text
}

// measured are values that differ in each run: times, durations, bytes, and addresses.
var measured = []struct{ shown, real string }{
	{`\d\d:\d\d:\d\d`, `\d\d:\d\d:\d\d`},
	{`[\d.]+(?:µs|ms)`, `[\d.]+(?:ns|µs|ms|s)`},
	{`(?:received|sent)=\d+`, `\w+=\d+`},
	{`endedBy=server`, `endedBy=(?:server|user)`}, // when two end at once
	{`203\.0\.113\.\d+(?::\d+)?`, `(?:127\.0\.0\.1|\[?::1\]?)(?::\d+)?`},
	{` ?\.\.\.`, `.*`},
}

// spaces separate columns, whose width differs in the test.
var spaces = regexp.MustCompile(` {2,}`)

// pattern is a regular expression, and the words that its groups stand for.
type pattern struct {
	text string
	of   []string
}

// pattern returns a pattern for the content of a block of text. If that is only a part
// of the output, other lines may come between.
func (w *world) pattern(b block, part bool) pattern {
	shown := words.String()
	for _, m := range measured {
		shown += "|" + m.shown
	}
	marks := regexp.MustCompile(shown)
	p := pattern{text: `\A`}
	if part {
		p.text = `(?m)^`
	}
	for i, line := range strings.Split(strings.TrimSuffix(b.text, "\n"), "\n") {
		if line == "..." || part && i > 0 {
			p.text += `(?:.*\n)*?`
		}
		if line == "..." {
			continue
		}
		end := 0
		for _, at := range marks.FindAllStringIndex(line, -1) {
			p.text += spaces.ReplaceAllString(regexp.QuoteMeta(line[end:at[0]]), `\s+`)
			p.add(w.names, line[at[0]:at[1]])
			end = at[1]
		}
		p.text += spaces.ReplaceAllString(regexp.QuoteMeta(line[end:]), `\s+`) + `\n`
	}
	if !part {
		p.text += `\z`
	}
	return p
}

// add adds a pattern for a word of the page.
func (p *pattern) add(names map[string]string, word string) {
	for _, m := range measured {
		if regexp.MustCompile(`\A(?:` + m.shown + `)\z`).MatchString(word) {
			p.text += m.real
			return
		}
	}
	digits := strings.TrimLeft(word, "=: ")
	p.text += regexp.QuoteMeta(strings.TrimSuffix(word, digits))
	if real, ok := names[digits]; ok {
		p.text += regexp.QuoteMeta(real)
		return
	}
	p.of = append(p.of, digits)
	if prefix, ok := strings.CutSuffix(word, "..."); ok {
		p.text += "(" + regexp.QuoteMeta(prefix) + `[\w+/=-]+)`
	} else {
		p.text += `(\d+)`
	}
}

// learn records what the words of a pattern stand for, and reports whether text
// matches.
func (p pattern) learn(text string, names map[string]string) bool {
	m := regexp.MustCompile(p.text).FindStringSubmatch(text)
	if m == nil {
		return false
	}
	for i, word := range p.of {
		if real, ok := names[word]; ok && real != m[i+1] {
			return false // the block has it twice, with different values
		}
		names[word] = m[i+1]
	}
	return true
}
