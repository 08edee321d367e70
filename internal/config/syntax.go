package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// maxSyntax bounds the faults of syntax that are looked for: each later one is more likely to
// come of an earlier one.
const maxSyntax = 10

// recovers reports a fault of syntax, if there is one, and reports whether parsing goes on
// after it.
func (p *parser) recovers() bool {
	err := p.toml.Error()
	if err == nil {
		return false
	}
	at := len(p.data)
	var wrong *unstable.ParserError
	text := err.Error()
	if errors.As(err, &wrong) {
		text = wrong.Message
		if offset := cap(p.data) - cap(wrong.Highlight); offset >= p.base && offset < len(p.data) {
			at = offset // it is a part of data
		}
	}
	p.fault(p.position(at), "", "this is no TOML: "+text, p.missingQuotes(at))
	p.partial = true
	return len(p.faults) < maxSyntax && p.skipLine(at)
}

// missingQuotes returns what is right where a text without quotes is what is wrong.
func (p *parser) missingQuotes(at int) string {
	line := p.data[bytes.LastIndexByte(p.data[:at], '\n')+1:]
	line, _, _ = bytes.Cut(line, []byte("\n"))
	name, value, _ := strings.Cut(string(line), "=")
	value, _, _ = strings.Cut(strings.TrimSpace(value), " ")
	if first, _ := utf8.DecodeRuneInString(value); !unicode.IsLetter(first) || strings.ContainsAny(value, "\"'[{=#") {
		return ""
	}
	return fmt.Sprintf("a text has quotes: %s = %+.60q", strings.TrimSpace(name), value)
}

// skipLine goes on at the line after a fault. It reports false if that would be in the middle
// of something.
func (p *parser) skipLine(at int) bool {
	begin := bytes.LastIndexByte(p.data[:at], '\n') + 1
	length := bytes.IndexByte(p.data[at:], '\n')
	if length < 0 {
		return false
	}
	line := p.data[begin : at+length]
	_, value, _ := bytes.Cut(line, []byte("="))
	if len(value) == 0 && !bytes.HasPrefix(bytes.TrimSpace(line), []byte("[")) || bytes.ContainsAny(value, "[{") ||
		bytes.Contains(line, []byte(`"""`)) || bytes.Contains(line, []byte(`'''`)) {
		return false
	}
	if bytes.HasPrefix(bytes.TrimSpace(line), []byte("[")) {
		p.current = table{} // whose keys follow is not known
	}
	p.base = at + length + 1
	p.toml.Reset(p.data[p.base:])
	return true
}

// checkDocument has the library say what else is wrong, such as a table that is extended after
// it was written inline.
func (p *parser) checkDocument() {
	var decode *toml.DecodeError
	if len(p.faults) > 0 {
		return
	}
	if err := toml.Unmarshal(p.data, new(map[string]any)); errors.As(err, &decode) {
		line, column := decode.Position()
		p.fault(Position{line, column}, strings.Join(decode.Key(), "."), strings.TrimPrefix(decode.Error(), "toml: "), "")
	} else if err != nil {
		p.fault(Position{}, "", err.Error(), "")
	}
}
