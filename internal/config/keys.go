package config

import (
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// kind is the type of a key's value, as a person writes it.
type kind string

const (
	kindText     kind = "text"
	kindNumber   kind = "number"
	kindSwitch   kind = "switch"
	kindDuration kind = "duration"
	kindList     kind = "list of texts"
	kindTable    kind = "table"
	kindCheck    kind = "text, or table"
)

// tag is what the tags and the type of a field say about its key.
type tag struct {
	name, example, doc string
	is                 string   // path or local, for a text that is no more than a path, or may be one
	instead            string   // key that it cannot stand beside
	words              []string // of which the value is one; nil is any
	kind               kind
	isTable            bool
}

func tagOf(f reflect.StructField) (t tag, ok bool) {
	t = tag{
		name: f.Tag.Get("toml"), example: f.Tag.Get("example"), doc: f.Tag.Get("doc"),
		is: f.Tag.Get("is"), instead: f.Tag.Get("instead"),
	}
	if words := f.Tag.Get("words"); words != "" {
		t.words = strings.Fields(words)
	}
	switch f.Type {
	case reflect.TypeFor[string]():
		t.kind = kindText
	case reflect.TypeFor[*int]():
		t.kind = kindNumber
	case reflect.TypeFor[*bool]():
		t.kind = kindSwitch
	case reflect.TypeFor[*time.Duration]():
		t.kind = kindDuration
	case reflect.TypeFor[[]string]():
		t.kind = kindList
	case reflect.TypeFor[*HealthCheck]():
		t.kind = kindCheck
	default:
		t.kind, t.isTable = kindTable, true
	}
	return t, t.name != "" && t.name != "-"
}

// quote returns a value as TOML has it.
func (t tag) quote(value string) string {
	switch t.kind {
	case kindNumber, kindSwitch:
		return value
	case kindList:
		return "[" + strconv.Quote(value) + "]"
	}
	return strconv.Quote(value)
}

// literal returns a line that gives the key a value.
func (t tag) literal(name string) string { return name + " = " + t.quote(t.example) }

// Literal returns a line that gives a key a value, which is written as a flag has it.
func Literal(name, value string) string {
	for _, table := range tables() {
		_, t, ok := fieldOf(reflect.Zero(table.of), name)
		if !ok || t.isTable {
			continue
		}
		var quoted []string
		for one := range strings.SplitSeq(value, ",") {
			quoted = append(quoted, strconv.Quote(one))
		}
		if t.kind == kindList {
			return name + " = [" + strings.Join(quoted, ", ") + "]"
		}
		return name + " = " + t.quote(value)
	}
	return name + " = " + strconv.Quote(value)
}

// fieldOf returns the field of a struct that a key is for.
func fieldOf(table reflect.Value, name string) (field reflect.Value, t tag, ok bool) {
	for i := range table.NumField() {
		if t, ok := tagOf(table.Type().Field(i)); ok && t.name == name {
			return table.Field(i), t, true
		}
	}
	return reflect.Value{}, tag{}, false
}

// Given calls yield for each key of a table that is given, with its value as a flag has it.
// Table is one of the structs of this package, or a pointer to one; Given passes over the tables in it.
func Given(table any, yield func(key, value string)) {
	v := reflect.ValueOf(table)
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	for i := range v.NumField() {
		t, ok := tagOf(v.Type().Field(i))
		if !ok || t.isTable {
			continue
		}
		if text, given := flagValue(v.Field(i)); given {
			yield(t.name, text)
		}
	}
}

// flagValue returns the value of a field as a flag has it, if it is given.
func flagValue(field reflect.Value) (text string, given bool) {
	switch v := field.Interface().(type) {
	case string:
		return v, v != ""
	case []string:
		return strings.Join(v, ","), v != nil
	case *int:
		if v != nil {
			return strconv.Itoa(*v), true
		}
	case *bool:
		if v != nil {
			return strconv.FormatBool(*v), true
		}
	case *time.Duration:
		if v != nil {
			return v.String(), true
		}
	case *HealthCheck:
		if v != nil {
			return v.String(), true
		}
	}
	return "", false
}

// resolvePaths has paths begin in the folder of the file.
func (f *File) resolvePaths(dir string) {
	resolve := func(table any) {
		v := reflect.ValueOf(table).Elem()
		for i := range v.NumField() {
			t, _ := tagOf(v.Type().Field(i))
			switch text := v.Field(i); {
			case t.is == "path" && text.String() != "" && !filepath.IsAbs(text.String()):
				text.SetString(filepath.Join(dir, text.String()))
			case t.is == "local":
				path, is := strings.CutPrefix(text.String(), "unix:")
				if is && path != "" && !strings.HasPrefix(path, "@") && !filepath.IsAbs(path) {
					text.SetString("unix:" + filepath.Join(dir, path))
				}
			}
		}
	}
	resolve(f)
	if f.Server != nil {
		resolve(f.Server)
	}
	if f.Relay != nil {
		resolve(f.Relay)
	}
	for i := range f.Services {
		resolve(&f.Services[i])
	}
}
