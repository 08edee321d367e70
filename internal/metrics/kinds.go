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
	probe  help
}

// help is what a probe is.
type help struct{ success, took, dial string }

// other is the value that stands for all tunnels without a place.
const other = "other"

// ofRelay tells tunnels apart by their public ports, and by whose they are.
var ofRelay = kind{
	names: []string{"identity", "name", "port", "protocol"},
	keyOf: func(t *api.Tunnel) key {
		return key{port: t.Port, name: t.Name, owner: t.Identity, protocol: protocolOf(t.Group, t.Protocol)}
	},
	values: func(k key) []string { return []string{k.owner, k.name, strconv.Itoa(k.port), k.protocol} },
	rest:   []string{"", "", other, ""},
	probe: help{
		success: "1 if the last probe of a tunnel has reached the local server.",
		took:    "How long the last probe took, from relay to relay client and back.",
		dial:    "How long the local server took to accept in the last probe.",
	},
}

// ofForwarder tells services apart by their names in the file, and by their local servers. The
// public port is the relay's to give, and may change.
var ofForwarder = kind{
	names: []string{"local", "name", "protocol", "service"},
	keyOf: func(t *api.Tunnel) key {
		return key{service: t.Service, name: t.Name, owner: t.Local, protocol: t.Protocol}
	},
	values: func(k key) []string { return []string{k.owner, k.name, k.protocol, k.service} },
	rest:   []string{other, "", "", ""},
	probe: help{
		success: "1 if the local server has accepted the last connection, of a user or of a probe.",
		took:    "How long that took.",
		dial:    "How long the local server took to accept it.",
	},
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
