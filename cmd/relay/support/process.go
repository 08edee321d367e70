package support

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/seed96252745/relay/internal/api"
)

// Process is a relay or a forwarder that is asked.
type Process interface {
	// Get returns the body of a page.
	Get(ctx context.Context, path string) ([]byte, error)
	// Recent yields the events that are kept, and then those that happen.
	Recent(ctx context.Context) iter.Seq2[api.Event, error]
}

// eventsWait is how long events are taken: those that are kept come at once.
const eventsWait = time.Second

// maxEvents bounds the events, of which a process keeps a thousand.
const maxEvents = 5000

// AddProcess adds what a process says about itself, in a folder. What it does not answer is
// noted.
func (b *Bundle) AddProcess(ctx context.Context, folder string, p Process) {
	for _, page := range []struct{ name, path string }{
		{"status.json", "/api/v1/status"},
		{"settings.json", "/api/v1/settings"},
		{"tunnels.json", "/api/v1/tunnels"},
		{"users.json", "/api/v1/users?limit=10000"},
		{"limits.json", "/api/v1/limits"},
		{"causes.json", "/api/v1/causes"},
		{"ended.json", "/api/v1/ended?limit=1000"},
		{"refusals.json", "/api/v1/refusals?limit=1000"},
		{"bans.json", "/api/v1/bans"},
		{"metrics.txt", "/metrics"},
		{"goroutines.txt", "/debug/pprof/goroutine?debug=2"},
	} {
		content, err := p.Get(ctx, page.path)
		if err != nil {
			b.miss(folder+"/"+page.name, err)
			continue
		}
		b.AddText(folder+"/"+page.name, indented(content))
	}
	if heap, err := p.Get(ctx, "/debug/pprof/heap"); err != nil {
		b.miss(folder+"/heap.pb.gz", err)
	} else {
		b.addProfile(folder+"/heap.pb.gz", heap)
	}
	b.addEvents(ctx, folder+"/events.jsonl", p)
}

// addEvents adds the events that are kept, one on each line.
func (b *Bundle) addEvents(ctx context.Context, name string, p Process) {
	waiting, cancel := context.WithTimeout(ctx, eventsWait)
	defer cancel()
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	n := 0
	for e, err := range p.Recent(waiting) {
		if err != nil {
			if waiting.Err() == nil {
				b.miss(name, err)
			}
			break
		}
		if err := encoder.Encode(e); err != nil {
			b.miss(name, err)
			break
		}
		if n++; n == maxEvents {
			break
		}
	}
	b.AddText(name, lines.Bytes())
}

// indented returns JSON as people read it, and anything else as it is.
func indented(content []byte) []byte {
	var b bytes.Buffer
	if json.Indent(&b, content, "", "  ") != nil {
		return content
	}
	return b.Bytes()
}
