package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// tables returns which struct each table of a file is, by how its header is written, in the
// order in which a fault names them.
func tables() []struct {
	header string
	of     reflect.Type
} {
	return []struct {
		header string
		of     reflect.Type
	}{
		{"", reflect.TypeFor[File]()},
		{"[server]", reflect.TypeFor[Server]()},
		{"[relay]", reflect.TypeFor[Relay]()},
		{"[services.<name>]", reflect.TypeFor[Service]()},
	}
}

// Table is a table that a file may have.
type Table struct {
	Header string // [server], or "" for the keys before the first table
	Keys   []Key
}

// Key is a key of a table.
type Key struct {
	Name, Doc string
	Kind      string // of its value, in words
	Words     []string
	Line      string // that gives it a value
	Needed    bool   // of a forwarder, which the template is
	Instead   string // key that it cannot stand beside
}

// Tables returns all tables and their keys, for documents.
func Tables() (all []Table) {
	for _, table := range tables() {
		t := Table{Header: table.header}
		for i := range table.of.NumField() {
			tag, ok := tagOf(table.of.Field(i))
			if !ok || tag.isTable {
				continue
			}
			t.Keys = append(t.Keys, Key{
				Name: tag.name, Doc: tag.doc, Kind: string(tag.kind), Words: tag.words, Line: tag.literal(tag.name),
				Needed: tag.name == "address" || tag.name == "local", Instead: tag.instead,
			})
		}
		all = append(all, t)
	}
	return all
}

// keysOf returns the names of the keys that a table has.
func keysOf(of reflect.Type) (names []string) {
	for i := range of.NumField() {
		if t, ok := tagOf(of.Field(i)); ok {
			names = append(names, t.name)
		}
	}
	return names
}

// otherNames are what the same thing is called elsewhere: flags whose key has another name, and
// the words of other programs.
func otherNames() map[string]string {
	return map[string]string{
		"localforwardport": "local", "localforwardhost": "local", "localport": "local", "localaddr": "local", "localip": "local",
		"remoteport": "port", "bindport": "port", "serveraddr": "address", "host": "address", "remoteaddr": "address",
		"type": "protocol", "certfile": "tlsCert", "keyfile": "tlsKey",
	}
}

// unknown reports a key that a table does not have: where it belongs, or what may be meant.
func (p *parser) unknown(t table, k key) {
	name, here := join(t.name, k.name), keysOf(t.value.Type())
	if i := slices.IndexFunc(here, func(k2 string) bool { return plain(k2) == plain(k.name) }); i >= 0 {
		p.fault(k.at, name, "there is no such key", "did you mean "+here[i]+"?")
		return
	}
	if belongs := p.belongs(t, k.name); belongs != "" {
		p.fault(k.at, name, "it does not belong here", belongs)
		return
	}
	meant := otherNames()[plain(k.name)]
	if !slices.Contains(here, meant) {
		meant = Similar(k.name, here)
	}
	right := "there are " + strings.Join(here, ", ")
	if meant != "" {
		right = "did you mean " + meant + "?"
	}
	p.fault(k.at, name, "there is no such key", right)
}

// belongs returns where a key belongs that another table has, or "".
func (p *parser) belongs(t table, name string) string {
	var in []string
	for _, table := range tables() {
		if table.of == t.value.Type() || !slices.ContainsFunc(keysOf(table.of), func(k string) bool { return plain(k) == plain(name) }) {
			continue
		}
		switch {
		case table.header == "" && slices.Contains([]string{"server", "relay", "services"}, name):
			return "it is a table: write [" + name + "] in a line of its own"
		case table.header == "":
			return "it is about the whole process: put it before the first table"
		}
		in = append(in, table.header)
	}
	if len(in) == 0 {
		return ""
	}
	return "put it into " + strings.Join(in, " or ")
}

// plain returns a name without what people write differently.
func plain(name string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
}

// maxDistance is how many letters of a similar name may differ.
const maxDistance = 2

// Similar returns the name that is most like one that does not exist, or "".
func Similar(name string, names []string) string {
	const shortest, longest = 3, 64
	if len(name) > longest {
		return ""
	}
	for _, n := range names {
		if len(name) >= shortest && strings.HasPrefix(plain(n), plain(name)) {
			return n
		}
	}
	best := slices.MinFunc(append([]string{""}, names...), func(a, b string) int {
		return cmp.Compare(distanceFrom(name, a), distanceFrom(name, b))
	})
	if distanceFrom(name, best) > min(maxDistance, len(name)/2) {
		return ""
	}
	return best
}

func distanceFrom(name, other string) int {
	a, b := plain(name), plain(other)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// String returns where something is, for a message.
func (p Position) String() string { return fmt.Sprintf("line %d", p.Line) }
