package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/seed96252745/relay/internal/policy"
)

// parser fills a file from its text, expression by expression, so that it finds all faults:
// a decoder stops at the first.
type parser struct {
	data   []byte
	lines  []int // where each begins
	last   place // whose position was looked up last
	toml   unstable.Parser
	base   int // where in data toml has begun
	file   *File
	faults []Fault

	headers map[string]Position // of tables, by their dotted names
	current table               // that the next keys are for
	partial bool                // there is text that was not understood
}

// table is a table of the file.
type table struct {
	name  string        // dotted
	value reflect.Value // of its struct; not valid for a table that does not exist
	given map[string]Position
}

// place is where something is in the text, as an offset and as a position.
type place struct {
	offset int
	at     Position
}

// key is one part of a dotted key.
type key struct {
	name string
	at   Position
}

func parse(data []byte) *parser {
	p := &parser{data: data, lines: []int{0}, file: &File{at: make(map[string]Position)}, headers: make(map[string]Position)}
	for i, b := range data {
		if b == '\n' {
			p.lines = append(p.lines, i+1)
		}
	}
	p.current = p.root()
	p.toml.Reset(data)
	for {
		for !p.hasEnough() && p.toml.NextExpression() {
			p.expression(p.toml.Expression())
		}
		if p.hasEnough() || !p.recovers() {
			break
		}
	}
	p.checkDocument()
	return p
}

func (p *parser) root() table {
	return table{value: reflect.ValueOf(p.file).Elem(), given: p.file.at}
}

// fault adds a fault.
func (p *parser) fault(at Position, key, wrong, right string) {
	p.faults = append(p.faults, Fault{Position: at, Key: key, Wrong: wrong, Right: right})
}

// enough is how many faults are looked for: of a megabyte that is no configuration at all each
// line is one.
const enough = 1000

// hasEnough reports whether so much is wrong that the rest of the text does not matter.
func (p *parser) hasEnough() bool {
	p.partial = p.partial || len(p.faults) >= enough
	return len(p.faults) >= enough
}

// position returns the position of an offset in the text. It counts from the place that was
// looked up last, as a line may have very many keys.
func (p *parser) position(offset int) Position {
	line, found := slices.BinarySearch(p.lines, offset)
	if !found {
		line--
	}
	from := place{p.lines[line], Position{Line: line + 1, Column: 1}}
	if p.last.at.Line == line+1 && p.last.offset <= offset {
		from = p.last
	}
	from.at.Column += utf8.RuneCount(p.data[from.offset:offset])
	from.offset = offset
	p.last = from
	return from.at
}

// maxParts is more than the parts of any key that there is.
const maxParts = 8

// keys returns the parts of a dotted key. Of one with more than there can be the first ones are
// enough to refuse it.
func (p *parser) keys(it unstable.Iterator) (keys []key) {
	for len(keys) < maxParts && it.Next() {
		n := it.Node()
		keys = append(keys, key{name: string(n.Data), at: p.position(p.base + int(n.Raw.Offset))})
	}
	return keys
}

func (p *parser) expression(n *unstable.Node) {
	switch n.Kind {
	case unstable.Table:
		p.header(p.keys(n.Key()))
	case unstable.ArrayTable:
		keys := p.keys(n.Key())
		p.current = table{}
		name := dotted("", keys)
		p.fault(keys[0].at, name, "two brackets begin a list of tables, and there is none", "write "+headerOf(name))
	case unstable.KeyValue:
		p.set(p.current, p.keys(n.Key()), n.Value())
	}
}

// header enters the table of a header.
func (p *parser) header(keys []key) {
	last := keys[len(keys)-1]
	name := dotted("", keys)
	p.current = p.descend(p.root(), keys)
	if !p.current.value.IsValid() {
		return
	}
	if p.current.value.Type() == reflect.TypeFor[[]Service]() {
		return // [services] alone, for services.web.local
	}
	first, twice := p.headers[name]
	if !twice {
		p.headers[name] = last.at
		return
	}
	right := "put what both have into one of them"
	if p.current.value.Type() == reflect.TypeFor[Service]() {
		right = "give one of the services another name"
	}
	p.fault(last.at, name, fmt.Sprintf("this table is there twice, first in line %d", first.Line), right)
	p.current.value = reflect.New(p.current.value.Type()).Elem() // faults in it are found, too
	p.current.given = make(map[string]Position)
}

// descend returns the table that keys lead to from t, or one that is not valid after a fault.
func (p *parser) descend(t table, keys []key) table {
	for _, k := range keys {
		switch {
		case !t.value.IsValid():
			return t
		case t.value.Type() == reflect.TypeFor[[]Service]():
			t = p.service(t, k)
		default:
			t = p.child(t, k)
		}
	}
	return t
}

// child returns a table in t.
func (p *parser) child(t table, k key) table {
	field, tag, ok := fieldOf(t.value, k.name)
	name := join(t.name, k.name)
	switch {
	case !ok:
		p.unknown(t, k)
		return table{}
	case (tag.isTable || tag.kind == kindCheck) && field.Kind() == reflect.Pointer:
		if field.IsNil() {
			field.Set(reflect.New(field.Type().Elem()))
		}
		field = field.Elem()
	case !tag.isTable:
		p.fault(k.at, name, "it has a value, and is no table", "for example: "+tag.literal(k.name))
		return table{}
	}
	if _, known := p.file.at[name]; !known {
		p.file.at[name] = k.at
	}
	return table{name: name, value: field, given: p.file.at}
}

// service returns the table of a service, which it adds to the list the first time.
func (p *parser) service(list table, k key) table {
	name := join(list.name, k.name)
	t := table{name: name, given: p.file.at}
	for i, s := range p.file.Services {
		if s.Name == k.name {
			t.value = reflect.ValueOf(&p.file.Services[i]).Elem()
			return t
		}
	}
	if err := policy.CheckName(k.name); err != nil {
		p.fault(k.at, name, "that is no name of a service: "+err.Error(), "for example: [services.web]")
		t.value, t.given = reflect.New(reflect.TypeFor[Service]()).Elem(), make(map[string]Position)
		return t
	}
	p.file.at[name] = k.at
	p.file.Services = append(p.file.Services, Service{Name: k.name})
	t.value = reflect.ValueOf(&p.file.Services[len(p.file.Services)-1]).Elem()
	return t
}

// set gives a key of t its value.
func (p *parser) set(t table, keys []key, n *unstable.Node) {
	t = p.descend(t, keys[:len(keys)-1])
	last := keys[len(keys)-1]
	if !t.value.IsValid() {
		return
	}
	if t.value.Type() == reflect.TypeFor[[]Service]() {
		p.inline(p.descend(t, keys[len(keys)-1:]), last, n)
		return
	}
	field, tag, ok := fieldOf(t.value, last.name)
	if !ok {
		p.unknown(t, last)
		return
	}
	if tag.isTable {
		p.inline(p.child(t, last), last, n)
		return
	}
	name := join(t.name, last.name)
	if first, twice := t.given[name]; twice {
		p.fault(last.at, name, fmt.Sprintf("it is given twice, first in line %d", first.Line), "leave one of them out")
		return
	}
	t.given[name] = last.at
	p.value(field, setting{key: last, name: name, tag: tag}, n)
}

// inline fills a table from a value in braces.
func (p *parser) inline(t table, k key, n *unstable.Node) {
	if !t.value.IsValid() {
		return
	}
	if n.Kind != unstable.InlineTable {
		p.fault(k.at, t.name, "it is a table, and has no value", "write "+headerOf(t.name)+" in a line of its own, and its keys below")
		return
	}
	for it := n.Children(); !p.hasEnough() && it.Next(); {
		if pair := it.Node(); pair.Kind == unstable.KeyValue {
			p.set(t, p.keys(pair.Key()), pair.Value())
		}
	}
}

// headerOf returns the line that begins a table. Services have names of their own.
func headerOf(name string) string {
	if name == "services" {
		name = "services.web"
	}
	return "[" + name + "]"
}

// dotted returns the name of a key below a table.
func dotted(table string, keys []key) string {
	for _, k := range keys {
		table = join(table, k.name)
	}
	return table
}

// join returns the name of a key in a table, with quotes where TOML has them.
func join(table, name string) string {
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
		name = fmt.Sprintf("%+.60q", name)
	}
	if table == "" {
		return name
	}
	return table + "." + name
}
