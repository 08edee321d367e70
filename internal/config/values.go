package config

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"
)

// setting is a key that gets a value.
type setting struct {
	key
	name string // dotted
	tag  tag
}

// value fills a field.
func (p *parser) value(field reflect.Value, s setting, n *unstable.Node) {
	switch field.Interface().(type) {
	case string:
		if p.is(unstable.String, s, n) && p.notEmpty(s, string(n.Data)) {
			field.SetString(string(n.Data))
		}
	case *int:
		if p.is(unstable.Integer, s, n) {
			p.integer(field, s, n)
		}
	case *bool:
		if p.is(unstable.Bool, s, n) {
			is := string(n.Data) == "true"
			field.Set(reflect.ValueOf(&is))
		}
	case *time.Duration:
		p.duration(field, s, n)
	case []string:
		if p.is(unstable.Array, s, n) {
			p.list(field, s, n)
		}
	case *HealthCheck:
		p.healthCheck(field, s, n)
	}
}

func (p *parser) notEmpty(s setting, text string) bool {
	if strings.TrimSpace(text) == "" {
		p.fault(s.at, s.name, "it is empty: give it a value, or leave the line out", "for example: "+s.tag.literal(s.key.name))
		return false
	}
	return true
}

func (p *parser) integer(field reflect.Value, s setting, n *unstable.Node) {
	number, err := strconv.ParseInt(strings.ReplaceAll(string(n.Data), "_", ""), 0, strconv.IntSize)
	if err != nil || number < math.MinInt32 || number > math.MaxInt32 {
		p.fault(s.at, s.name, fmt.Sprintf("%.40s is out of range", n.Data), "for example: "+s.tag.literal(s.key.name))
		return
	}
	of := int(number)
	field.Set(reflect.ValueOf(&of))
}

func (p *parser) duration(field reflect.Value, s setting, n *unstable.Node) {
	if !p.is(unstable.String, s, n) || !p.notEmpty(s, string(n.Data)) {
		return
	}
	d, err := time.ParseDuration(string(n.Data))
	if err != nil {
		p.fault(s.at, s.name, fmt.Sprintf("%+.40q is not a duration: a duration has a unit, as 500ms, 30s, 5m and 24h have", n.Data), "for example: "+s.tag.literal(s.key.name))
		return
	}
	field.Set(reflect.ValueOf(&d))
}

func (p *parser) list(field reflect.Value, s setting, n *unstable.Node) {
	var list []string
	for it := n.Children(); it.Next(); {
		element := it.Node()
		if element.Kind == unstable.Comment {
			continue
		}
		if element.Kind != unstable.String {
			p.fault(s.at, s.name, fmt.Sprintf("%s is in the list, which has texts", kindName(element.Kind)), "for example: "+s.tag.literal(s.key.name))
			return
		}
		if !p.notEmpty(s, string(element.Data)) {
			return
		}
		list = append(list, string(element.Data))
	}
	if list == nil {
		p.fault(s.at, s.name, "the list is empty: give it a value, or leave the line out", "for example: "+s.tag.literal(s.key.name))
		return
	}
	field.Set(reflect.ValueOf(list))
}

// healthCheck reads a word, or a table.
func (p *parser) healthCheck(field reflect.Value, s setting, n *unstable.Node) {
	if n.Kind == unstable.InlineTable {
		check := new(HealthCheck)
		field.Set(reflect.ValueOf(check))
		p.inline(table{name: s.name, value: reflect.ValueOf(check).Elem(), given: p.file.at}, s.key, n)
		return
	}
	if !p.is(unstable.String, s, n) {
		return
	}
	check, err := ParseHealthCheck(string(n.Data))
	if err != nil {
		p.fault(s.at, s.name, err.Error(), `one of: healthCheck = "tcp", healthCheck = "http:/healthz"`)
		return
	}
	field.Set(reflect.ValueOf(check))
}

// ParseHealthCheck reads a health check as a flag has it: tcp, or http: and a path, and after
// a space status=200 or interval=5s.
func ParseHealthCheck(text string) (*HealthCheck, error) {
	word, settings, _ := strings.Cut(text, " ")
	path, isHTTP := strings.CutPrefix(word, "http:")
	check := &HealthCheck{HTTP: path}
	switch {
	case word == "tcp":
		check.HTTP = ""
	case isHTTP && strings.HasPrefix(path, "//"), isHTTP && !strings.HasPrefix(path, "/"):
		return nil, errors.New("after http: there is a path alone, which begins with /; the server is that of local")
	case !isHTTP:
		return nil, fmt.Errorf("there is no health check %+.40q", text)
	}
	for setting := range strings.FieldsSeq(settings) {
		key, value, _ := strings.Cut(setting, "=")
		var err error
		switch key {
		case "status":
			var status int
			status, err = strconv.Atoi(value)
			check.Status = &status
		case "interval":
			var interval time.Duration
			interval, err = time.ParseDuration(value)
			check.Interval = &interval
		default:
			err = errors.New("unknown")
		}
		if err != nil {
			return nil, fmt.Errorf("%+.40q is no setting of a health check, which has status=200 and interval=5s", setting)
		}
	}
	return check, nil
}

// String returns the health check as ParseHealthCheck reads it.
func (h *HealthCheck) String() string {
	text := "tcp"
	if h.HTTP != "" {
		text = "http:" + h.HTTP
	}
	if h.Status != nil {
		text += fmt.Sprintf(" status=%d", *h.Status)
	}
	if h.Interval != nil {
		text += fmt.Sprintf(" interval=%v", *h.Interval)
	}
	return text
}

// is reports whether a value is of the kind that a key has. If not, it says how to write what
// may be meant.
func (p *parser) is(want unstable.Kind, s setting, n *unstable.Node) bool {
	if n.Kind == want {
		return true
	}
	right := s.tag.literal(s.key.name)
	text := string(n.Data)
	_, notNumber := strconv.Atoi(text)
	switch {
	case want == unstable.String && n.Kind == unstable.Integer && s.tag.is == "local",
		want == unstable.Array && n.Kind == unstable.String && text != "":
		right = s.key.name + " = " + s.tag.quote(text)
	case want == unstable.Integer && n.Kind == unstable.String && notNumber == nil,
		want == unstable.Bool && n.Kind == unstable.String && (text == "true" || text == "false"):
		right = s.key.name + " = " + text
	}
	what := kindName(want)
	if s.tag.kind == kindDuration {
		what = "a duration in quotes"
	}
	p.fault(s.at, s.name, fmt.Sprintf("it has to be %s, and is %s", what, kindName(n.Kind)), "for example: "+right)
	return false
}

// kindName returns a kind of value in words.
func kindName(k unstable.Kind) string {
	switch k {
	case unstable.String:
		return "a text in quotes"
	case unstable.Integer:
		return "a number"
	case unstable.Float:
		return "a fraction"
	case unstable.Bool:
		return "true or false"
	case unstable.Array:
		return "a list in brackets"
	case unstable.InlineTable:
		return "a table in braces"
	}
	return "a date or a time"
}
