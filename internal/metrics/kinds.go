package metrics

import (
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"

	"github.com/seed96252745/relay/internal/api"
)

// kind is what tells tunnels apart at a relay, or at a forwarder.
type kind struct {
	names  []string // of labels, sorted
	keyOf  func(*api.Tunnel) key
	values func(key) []string
	rest   []string // values for all tunnels without a place
}

// other is the value that stands for all tunnels without a place.
const other = "other"

// ofRelay tells tunnels apart by their public ports, and by whose they are.
var ofRelay = kind{
	names: []string{"identity", "name", "port", "protocol"},
	keyOf: func(t *api.Tunnel) key {
		return key{port: t.Port, name: t.Name, owner: t.Identity, protocol: t.Protocol}
	},
	values: func(k key) []string { return []string{k.owner, k.name, strconv.Itoa(k.port), k.protocol} },
	rest:   []string{"", "", other, ""},
}

// ofForwarder tells services apart by their local servers. The public port is the relay's
// to give, and may change.
var ofForwarder = kind{
	names:  []string{"local", "name", "protocol"},
	keyOf:  func(t *api.Tunnel) key { return key{name: t.Name, owner: t.Local, protocol: t.Protocol} },
	values: func(k key) []string { return []string{k.owner, k.name, k.protocol} },
	rest:   []string{other, "", ""},
}

func (k *kind) labels(of key) []*dto.LabelPair { return pairs(k.names, k.values(of)) }

// pairs returns labels. What relay clients call themselves is checked elsewhere; a value
// that is no UTF-8 would cost the whole scrape.
func pairs(names, values []string) []*dto.LabelPair {
	all := make([]*dto.LabelPair, len(names))
	for i, name := range names {
		value := strings.ToValidUTF8(values[i], "\uFFFD")
		all[i] = &dto.LabelPair{Name: &name, Value: &value}
	}
	return all
}
