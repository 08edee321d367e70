package config_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"github.com/seed96252745/relay/internal/config"
)

// Docs/relay.schema.json is the schema of the structs.
func TestSchema(t *testing.T) {
	schema, err := config.Schema()
	if err != nil {
		t.Fatal(err)
	}
	const path = "../../docs/relay.schema.json"
	if *update {
		if err := os.WriteFile(path, schema, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != string(schema) {
		t.Errorf("%s is not what relay check --schema prints: %v", path, err)
	}
}

// What a file may say, an editor with the schema takes, and what it may not say it refuses.
func TestSchemaOfFiles(t *testing.T) {
	text, err := config.Schema()
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	// The template with all of its settings, and each key that stands in place of another.
	all := regexp.MustCompile(`(?m)^#([a-z\[])`).ReplaceAllString(config.Template(), "$1")
	all = regexp.MustCompile(`(?m)^# In place of \w+: +`).ReplaceAllString(all, "")
	for _, good := range []string{
		all, "[server]\nport = 8080\nlease = \"1h30m\"\ntrustedProxies = [\"10.0.0.0/8\", \"192.0.2.1\"]\n",
		"[services.web]\nlocal = \"22\"\nhealthCheck = { http = \"/\", status = 204, interval = \"5s\" }\n",
		"[services.web]\nlocal = \"22\"\nhealthCheck = \"http:/up status=204\"\n",
	} {
		if wrong := misfit("", schema, decoded(t, good)); wrong != "" {
			t.Errorf("the schema refuses %s in\n%s", wrong, good)
		}
	}
	for _, bad := range []string{
		"prot = 1\n", "[server]\nport = \"8080\"\n", "[server]\nmaxUsers = -1\n", "[server]\nlease = \"5\"\n", "logLevel = \"loud\"\n",
		"[server]\ntokens = \"\"\n", "[server]\ntrustedProxies = \"10.0.0.0/8\"\n", "[server]\ntrustedProxies = []\n", "[services.\"a b\"]\nlocal = \"22\"\n",
		"[services.web]\nhealthCheck = \"udp\"\n", "[services.web]\nhealthCheck = { path = \"/\" }\n", "[server]\nrequireTls = \"true\"\n",
	} {
		if misfit("", schema, decoded(t, bad)) == "" {
			t.Errorf("the schema takes %q", bad)
		}
	}
}

// decoded returns what a text in TOML is in JSON.
func decoded(t *testing.T, text string) (value any) {
	t.Helper()
	var values map[string]any
	if err := toml.Unmarshal([]byte(text), &values); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	inJSON, err := json.Marshal(values)
	if err == nil {
		err = json.Unmarshal(inJSON, &value)
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// misfit returns where a value is that a schema refuses, or "". It knows as much of JSON schema
// as ours has.
func misfit(at string, schema map[string]any, value any) string {
	if choice, is := schema["anyOf"].([]any); is {
		if slices.ContainsFunc(choice, func(one any) bool { return misfit(at, one.(map[string]any), value) == "" }) {
			return ""
		}
		return at
	}
	words, limited := schema["enum"].([]any)
	fits, kind := !limited || slices.Contains(words, value), schema["type"]
	switch value := value.(type) {
	case map[string]any:
		if kind == "object" {
			return misfitIn(at, schema, value)
		}
		fits = false
	case []any:
		fits = fits && kind == "array" && len(value) > 0
		for _, element := range value {
			fits = fits && misfit(at, schema["items"].(map[string]any), element) == ""
		}
	case string:
		pattern, _ := schema["pattern"].(string)
		fits = fits && (kind == "string" || limited) && value != "" && regexp.MustCompile(pattern).MatchString(value)
	case float64:
		fits = fits && kind == "integer" && value >= 0
	case bool:
		fits = fits && kind == "boolean"
	}
	if !fits {
		return fmt.Sprintf("%s = %v", at, value)
	}
	return ""
}

// misfitIn is misfit for a table.
func misfitIn(at string, schema, table map[string]any) string {
	properties, _ := schema["properties"].(map[string]any)
	named, _ := schema["patternProperties"].(map[string]any)
	for name, value := range table {
		of, known := properties[name].(map[string]any)
		for pattern, is := range named {
			if regexp.MustCompile(pattern).MatchString(name) {
				of, known = is.(map[string]any), true
			}
		}
		if !known {
			return at + "." + name
		}
		if wrong := misfit(at+"."+name, of, value); wrong != "" {
			return wrong
		}
	}
	return ""
}
