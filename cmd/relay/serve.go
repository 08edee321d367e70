package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/policy"
	"github.com/seed96252745/relay/internal/port"
)

// parseRelay parses the relay's flags into c, and returns what is wrong with them.
func (f *flags) parseRelay(c *node.Config) (wrong []error) {
	var errs [5]error
	if c.Ports, errs[0] = port.ParseRange(f.ports); errs[0] != nil {
		errs[0] = usagef("for example:   --ports=20000-29999", "--ports: %v", errs[0])
	}
	errs[1] = checkBind(c.Bind)
	c.TrustedProxies, errs[2] = parseProxies("trustedProxies", f.trustedProxies)
	c.ControlProxies, errs[3] = parseProxies("controlProxies", f.controlProxies)
	c.Probe, errs[4] = f.probeInterval()
	c.Limits = f.limits.limits()
	return slices.DeleteFunc(errs[:], func(err error) bool { return err == nil })
}

// parseProxies returns the networks of load balancers that a flag has.
func parseProxies(flag, value string) ([]netip.Prefix, error) {
	if value == "" {
		return nil, nil
	}
	networks, err := policy.ParseNetworks(value)
	if err != nil {
		return nil, usagef("for example:   --"+flag+"=10.0.0.0/8", "--%s: %v", flag, err)
	}
	return networks, nil
}

// openTokens opens the tokens file, and returns nil if there is none and everybody may use
// the relay. A relay that was told of a file never starts without it.
func openTokens(f *flags, log *slog.Logger) (*auth.File, error) {
	if f.tokens == "" { // a flag that is given is never empty
		return nil, nil
	}
	tokens, err := auth.Open(f.tokens, log)
	if err != nil {
		return nil, fmt.Errorf("--tokens: %w", explainFile(err))
	}
	return tokens, nil
}

// isOpen reports whether the relay lets in everybody.
func (f *flags) isOpen() bool {
	return f.config.Tokens == nil && f.tls.clientCA == "" && f.sshClientCA == ""
}

// reachedAt returns the name or the address by which forwarders find the relay, as far as
// that can be known.
func (f *flags) reachedAt() string { return cmp.Or(f.knownAt(), "<this machine>") }

// knownAt is reachedAt, or "" if that is not known.
func (f *flags) knownAt() string {
	if host := cmp.Or(f.tls.acmeDomain, f.config.Bind); host != "" {
		return host
	}
	return publicAddress(systemRoute)
}

// connectLines returns the command lines that put a server online: in plain text if the
// relay takes that, and encrypted if it has encryption.
func connectLines(f *flags, port int, e encryption) (lines []string) {
	tokens, identity := f.config.Tokens != nil, "" // flags that show who the forwarder is
	switch {
	case tokens:
		identity = "--tokenFile=<file with its token> "
	case f.tls.clientCA != "":
		identity = "--tlsCert=<its certificate> --tlsKey=<its key> "
	}
	host := f.reachedAt()
	paste := func(encrypted string) string {
		return fmt.Sprintf("relay %s%s--localForwardPort=<its port> %s %d", encrypted, identity, host, port)
	}
	if f.sshClientCA != "" && !tokens && f.tls.clientCA == "" {
		return nil // forwarders have nothing to show
	}
	if !f.config.RequireTLS && (tokens || f.tls.clientCA == "") {
		lines = append(lines, paste(""))
	}
	if hint := e.hint(); hint != "" {
		lines = append(lines, paste(hint))
	}
	return lines
}

// greet logs what the operator has to know first, and what to do next.
func greet(log *slog.Logger, f *flags, port int, e encryption) {
	if f.isOpen() {
		log.Info("this relay is open: everybody who reaches its port may open tunnels; to change that, " +
			"say who may with --tokens (see: relay token --help), or give it a private address with --bind")
	}
	for i, line := range connectLines(f, port, e) {
		if i == 0 {
			log.Info("to put a server online, run beside it:  " + line)
		} else {
			log.Info("the same, encrypted:  " + line)
		}
	}
	log.Info("relay is ready", "port", port, "publicPorts", f.ports)
}
