package config

import (
	"fmt"
	"strings"
)

// Template returns a file to begin with. It puts one service online; everything else that there
// is stands in it as a comment. A line that begins with # and no space is a setting: without
// the # it has an effect.
func Template() string {
	var b strings.Builder
	b.WriteString("#:schema " + SchemaURL + "\n")
	b.WriteString(`
# What this process is: a relay with [server], a forwarder with [services], or both.
# A line that begins with # and no space is a setting that has no effect.
# To check this file:  relay check relay.toml
# To run it:           relay --config relay.toml
`)
	for _, table := range Tables() {
		switch table.Header {
		case "":
			b.WriteString("\n# The whole process\n\n")
		case "[server]":
			b.WriteString("\n# A relay. Its control port is what relay clients connect to.\n\n#[server]\n")
		case "[relay]":
			b.WriteString("\n# The relay that services use\n\n[relay]\n")
		default:
			b.WriteString("\n# A server to put online, under a name of your own. There can be many.\n\n[services.web]\n")
		}
		for _, k := range table.Keys {
			k.write(&b)
		}
	}
	return b.String()
}

// write adds the key with a value, as a comment if it need not be there.
func (k Key) write(b *strings.Builder) {
	fmt.Fprintf(b, "# %s\n", k.Doc)
	switch {
	case k.Instead != "":
		fmt.Fprintf(b, "# In place of %s:   %s\n", k.Instead, k.Line)
	case k.Needed:
		fmt.Fprintf(b, "%s\n", k.Line)
	default:
		fmt.Fprintf(b, "#%s\n", k.Line)
	}
}
