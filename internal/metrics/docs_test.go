package metrics_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/metrics"
)

// documented is what the page says of a metric, or the code.
type documented struct{ kind, labels string }

// An operator writes queries by the page: it has all metrics of the code, and no others.
func TestMetricsAreInTheDocs(t *testing.T) {
	relay, forwarder := metrics.NewRelay(metrics.Config{Tunnels: 5}), metrics.NewForwarder(metrics.Config{Tunnels: 5})
	relay.Watch(full(), usage)
	forwarder.Watch(full(), nil)
	code := shown(get(t, relay, "text/plain").Body.String())
	maps.Copy(code, shown(get(t, forwarder, "text/plain").Body.String()))
	text, err := os.ReadFile("../../docs/how-to/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	page := make(map[string]documented)
	for _, row := range regexp.MustCompile("(?m)^\\| `(relay_\\w+)` \\| (\\w+) \\| (.*?) ?\\| .+ \\|$").FindAllSubmatch(text, -1) {
		page[string(row[1])] = documented{string(row[2]), strings.ReplaceAll(string(row[3]), "`", "")}
	}
	for _, name := range slices.Sorted(maps.Keys(code)) {
		if page[name] != code[name] {
			t.Errorf("the page has %q of %s, and the code %q", page[name], name, code[name])
		}
		delete(page, name)
	}
	for name := range page {
		t.Errorf("the code has no %s", name)
	}
}

var (
	typeLine = regexp.MustCompile(`^# TYPE (relay_\w+) (\w+)$`)
	label    = regexp.MustCompile(`(\w+)="`)
)

// shown returns what a scrape has of Relay's own metrics.
func shown(scrape string) map[string]documented {
	found := make(map[string]documented)
	var name, kind string
	for line := range strings.Lines(scrape) {
		line = strings.TrimSpace(line)
		if m := typeLine.FindStringSubmatch(line); m != nil {
			name, kind = m[1], m[2]
			continue
		}
		if strings.HasPrefix(line, "#") || !strings.HasPrefix(line, "relay_") {
			continue
		}
		var labels []string
		for _, m := range label.FindAllStringSubmatch(line, -1) {
			if m[1] != "le" {
				labels = append(labels, m[1])
			}
		}
		slices.Sort(labels)
		found[name] = documented{kind, strings.Join(labels, ", ")}
	}
	return found
}
