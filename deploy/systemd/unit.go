// Package systemd writes the systemd units of Relay: those in its folder, which the packages
// have, and those of relay service install. There is one text for all of them.
package systemd

import (
	_ "embed" // the text is a file of its own
	"fmt"
	"strings"
	"unicode"
)

//go:generate go run ./generate

// ConfigGroup is the group that may read configuration and tokens. The units run as users that
// systemd makes up at each start, which no file can belong to.
const ConfigGroup = "relay-config"

// Unit is a service that runs what a configuration file says. All paths are absolute, as
// systemd wants them.
type Unit struct {
	Name        string // of the service and of its folder in /var/lib: relay, or relay- and more
	Description string // one line
	Command     string // path of the command relay
	Config      string // path of the configuration file
	LowPorts    bool   // it may listen on ports below 1024
}

// Units returns the units of the packages.
func Units() []Unit {
	return []Unit{
		{
			Name: "relay", Description: "Relay, a relay and its services", LowPorts: true,
			Command: "/usr/bin/relay", Config: "/etc/relay/relay.toml",
		},
		{
			Name: "relay-forwarder", Description: "Relay, a forwarder",
			Command: "/usr/bin/relay", Config: "/etc/relay/forwarder.toml",
		},
	}
}

// FileName returns the name of the unit's file.
func (u Unit) FileName() string { return u.Name + ".service" }

//go:embed unit.tmpl
var text string

// Text returns the content of the unit's file.
func (u Unit) Text() (string, error) {
	for _, value := range []string{u.Name, u.Description, u.Command, u.Config} {
		if strings.ContainsFunc(value, unicode.IsControl) {
			return "", fmt.Errorf("%q has a line break, or another control character", value)
		}
	}
	capabilities := noCapability
	if u.LowPorts {
		capabilities = lowPorts
	}
	// text/template would add 4 MB to the command: with it in a program the linker keeps every
	// method that might be called by its name.
	return strings.NewReplacer(
		"@name@", u.Name, "@config@", u.Config, "@configArgument@", argument(u.Config), "@command@", quote(u.Command),
		"@description@", u.Description, "@literalDescription@", literal(u.Description), "@capabilities@", capabilities,
	).Replace(text), nil
}

const (
	lowPorts = `# For ports below 1024, and nothing else.
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
AmbientCapabilities=CAP_NET_BIND_SERVICE`

	noCapability = `# It needs no port below 1024.
CapabilityBoundingSet=
AmbientCapabilities=`
)

// argument returns an argument of a command, as a unit has it: see "Command lines" and
// "Specifiers" in systemd's manual.
func argument(text string) string { return quote(strings.ReplaceAll(text, "$", "$$")) }

// quote returns the path of a command, as a unit has it.
func quote(path string) string {
	path = literal(path)
	if !strings.ContainsAny(path, ` "'\;`) {
		return path
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(path) + `"`
}

// literal returns a text that has no specifiers.
func literal(text string) string { return strings.ReplaceAll(text, "%", "%%") }
