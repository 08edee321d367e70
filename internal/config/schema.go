package config

import (
	"encoding/json"
	"reflect"
)

// SchemaURL is where editors find the schema.
const SchemaURL = "https://raw.githubusercontent.com/seed96252745/relay/main/docs/relay.schema.json"

// durationPattern is what time.ParseDuration reads and a person means.
const durationPattern = `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`

// Schema returns the JSON schema of a file, for editors.
func Schema() ([]byte, error) {
	root := schemaOf(reflect.TypeFor[File]())
	root["$schema"] = "http://json-schema.org/draft-07/schema#"
	root["$id"] = SchemaURL
	root["title"] = "The configuration file of Relay"
	text, err := json.MarshalIndent(root, "", "  ")
	return append(text, '\n'), err
}

// schemaOf returns the schema of a table.
func schemaOf(of reflect.Type) map[string]any {
	properties := make(map[string]any)
	for i := range of.NumField() {
		if t, ok := tagOf(of.Field(i)); ok {
			properties[t.name] = t.schema(of.Field(i).Type)
		}
	}
	return map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
}

// schema returns the schema of a key's value.
func (t tag) schema(of reflect.Type) map[string]any {
	text := map[string]any{"type": "string", "minLength": 1}
	s := text
	switch t.kind {
	case kindText:
		if t.words != nil {
			s = map[string]any{"enum": t.words}
		}
	case kindNumber:
		s = map[string]any{"type": "integer", "minimum": 0}
	case kindSwitch:
		s = map[string]any{"type": "boolean"}
	case kindDuration:
		s = map[string]any{"type": "string", "pattern": durationPattern}
	case kindList:
		s = map[string]any{"type": "array", "minItems": 1, "items": text}
	case kindCheck:
		word := map[string]any{"type": "string", "pattern": `^(tcp|http:/([^/ ][^ ]*)?)( (status|interval)=[^ ]+)*$`}
		s = map[string]any{"anyOf": []any{word, schemaOf(of.Elem())}}
	case kindTable:
		if of.Kind() == reflect.Slice {
			named := map[string]any{`^[A-Za-z0-9._-]{1,64}$`: schemaOf(of.Elem())}
			s = map[string]any{"type": "object", "additionalProperties": false, "patternProperties": named}
		} else {
			s = schemaOf(of.Elem())
		}
	}
	s["description"] = t.doc
	return s
}
