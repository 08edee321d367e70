package admin_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/seed96252745/relay/internal/admin"
	"github.com/seed96252745/relay/internal/api"
)

// document is what is compared of the OpenAPI document.
type document struct {
	Paths      map[string]map[string]operation
	Components struct{ Schemas map[string]schema }
}

type operation struct {
	OperationID string `yaml:"operationId"`
	Responses   map[string]any
}

type schema struct {
	Type       string
	Format     string
	Required   []string
	Properties map[string]schema
	Items      *schema
	Ref        string `yaml:"$ref"`
	Enum       []string
	Additional any `yaml:"additionalProperties"`
}

// served returns the document as a client gets it.
func served(t *testing.T) (d document) {
	t.Helper()
	answer := start(t, admin.Access{}).ask("GET", "/api/v1/openapi.yaml", "")
	if answer.body != string(api.OpenAPI) || answer.Header.Get("Content-Type") != "application/yaml" {
		t.Fatalf("the document is served as %v", answer.Header)
	}
	if err := yaml.Unmarshal([]byte(answer.body), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// The document has each operation that is served, and no other.
func TestDocumentOperations(t *testing.T) {
	var described, operations []string
	ids := make(map[string]bool)
	for path, methods := range served(t).Paths {
		for method, op := range methods {
			described = append(described, strings.ToUpper(method)+" "+path)
			if op.OperationID == "" || ids[op.OperationID] {
				t.Errorf("%s %s: the operationId is %q", method, path, op.OperationID)
			}
			ids[op.OperationID] = true
			for _, status := range []string{"400", "401", "403", "421", "429"} {
				if op.Responses[status] == nil {
					t.Errorf("%s %s: status %s is missing", method, path, status)
				}
			}
		}
	}
	for _, op := range admin.Operations() {
		operations = append(operations, op[0]+" "+op[1])
	}
	slices.Sort(described)
	slices.Sort(operations)
	if !slices.Equal(described, operations) {
		t.Errorf("described are\n%s\nand served\n%s", strings.Join(described, "\n"), strings.Join(operations, "\n"))
	}
}

// The document has the types of package api, each with its fields.
func TestDocumentTypes(t *testing.T) {
	schemas := served(t).Components.Schemas
	types := make(map[string]reflect.Type)
	for _, v := range []any{
		api.Status{}, api.Tunnel{}, api.User{}, api.Ended{}, api.Refusal{}, api.Limit{}, api.Causes{}, api.Settings{}, api.Ban{}, api.Event{},
		api.Error{}, api.Token{}, api.Upgrade{}, api.NewBan{}, api.NewToken{}, api.NewSession{},
	} {
		collect(reflect.TypeOf(v), types)
	}
	if described, known := slices.Sorted(maps.Keys(schemas)), slices.Sorted(maps.Keys(types)); !slices.Equal(described, known) {
		t.Errorf("described are the types %q, and there are %q", described, known)
	}
	for name, typ := range types {
		if typ.Kind() == reflect.Struct {
			checkSchema(t, name, typ, schemas[name])
		}
	}
	states := []string{
		string(api.Up), string(api.LocalServerDown), string(api.Silent), string(api.Unreachable),
		string(api.Away), string(api.Paused), string(api.Unknown), string(api.Connecting),
	}
	if got := schemas["State"].Enum; !slices.Equal(got, states) {
		t.Errorf("described are the states %q, want %q", got, states)
	}
}

// collect finds a type of package api, and those of its fields.
func collect(t reflect.Type, into map[string]reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		collect(t.Elem(), into)
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			return
		}
		into[t.Name()] = t
		for field := range t.Fields() {
			collect(field.Type, into)
		}
	case reflect.String:
		if t.PkgPath() != "" {
			into[t.Name()] = t
		}
	}
}

func checkSchema(t *testing.T, name string, typ reflect.Type, s schema) {
	t.Helper()
	var fields, required []string
	for field := range typ.Fields() {
		key, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		fields = append(fields, key)
		if !strings.Contains(options, "omitempty") {
			required = append(required, key)
		}
		if got, want := described(s.Properties[key]), typeOf(field.Type); got != want {
			t.Errorf("%s.%s is described as %s, and is %s", name, key, got, want)
		}
	}
	slices.Sort(fields)
	if properties := slices.Sorted(maps.Keys(s.Properties)); !slices.Equal(properties, fields) {
		t.Errorf("%s is described with\n%q, and has\n%q", name, properties, fields)
	}
	if !slices.Equal(s.Required, required) {
		t.Errorf("%s is described as always having\n%q, and always has\n%q", name, s.Required, required)
	}
}

// described returns what a schema is, in a word.
func described(s schema) string {
	switch {
	case s.Ref != "":
		return strings.TrimPrefix(s.Ref, "#/components/schemas/")
	case s.Items != nil:
		return "array of " + described(*s.Items)
	case s.Format != "":
		return s.Type + " " + s.Format
	}
	return s.Type
}

// typeOf returns what a type is in JSON, in a word.
func typeOf(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "string date-time"
	case t.Kind() == reflect.Pointer:
		return typeOf(t.Elem())
	case t.Kind() == reflect.Slice:
		return "array of " + typeOf(t.Elem())
	case t.Kind() == reflect.Map:
		return "object"
	case strings.HasSuffix(t.PkgPath(), "/api"):
		return t.Name()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "boolean"
	case reflect.Int:
		return "integer"
	case reflect.Int64, reflect.Uint64:
		return "integer int64"
	case reflect.Float64:
		return "number"
	}
	return t.Kind().String()
}
