package config

import (
	"fmt"
)

// checkServices refuses what two services, or a service and the rest, cannot have together.
func (p *parser) checkServices() {
	f := p.file
	p.checkPorts()
	p.checkOwnPorts()
	if p.partial {
		return // what is missing may be in a line that was not understood
	}
	if f.Server == nil && f.Relay == nil && len(f.Services) == 0 && len(p.faults) == 0 {
		p.fault(Position{}, "", "it has neither a relay nor a service", "[server] makes it a relay, and [services.web] puts a server online")
	}
	if f.Server != nil && f.Server.Port == nil && !p.isGiven("server.port") {
		p.fault(f.At("server"), "server.port", "it is missing", "for example: port = 8080")
	}
	for _, s := range f.Services {
		name := join("services", s.Name)
		if s.Local == "" && !p.isGiven(name+".local") {
			p.fault(f.At(name), name+".local", "it is missing: it is the server to put online", `for example: local = "localhost:22"`)
		}
		if s.Token != "" && s.TokenFile != "" {
			p.fault(f.At(name+".token"), name+".token", "there is tokenFile, too", "leave one of them out")
		}
	}
	p.checkGroups()
	p.checkRelay()
}

// checkPorts refuses two services that ask for one public port.
func (p *parser) checkPorts() {
	f := p.file
	ports := make(map[int]string)
	for _, s := range f.Services {
		name := join("services", s.Name)
		if s.Port == nil || s.Group != "" {
			continue
		}
		if other, taken := ports[*s.Port]; taken {
			p.fault(f.At(name+".port"), name+".port", fmt.Sprintf("%s has the public port %d already, in line %d", other, *s.Port, f.At(other+".port").Line),
				"give one of them another port")
			continue
		}
		ports[*s.Port] = name
	}
}

// checkRelay looks at what services need of [relay].
func (p *parser) checkRelay() {
	f := p.file
	if f.Relay != nil && f.Relay.Token != "" && f.Relay.TokenFile != "" {
		p.fault(f.At("relay.token"), "relay.token", "there is tokenFile, too", "leave one of them out")
	}
	if (f.Relay == nil || f.Relay.Address == "") && len(f.Services) > 0 && !p.isGiven("relay.address") {
		at := f.At("relay")
		if f.Relay == nil {
			at = f.At(join("services", f.Services[0].Name))
		}
		p.fault(at, "relay.address", "it is missing: services need a relay", `for example: address = "relay.example.com:8080", below [relay]`)
	}
}

// isGiven reports whether a key is there, also with a value that is wrong.
func (p *parser) isGiven(name string) bool {
	_, given := p.file.at[name]
	return given
}

// refuseSecrets refuses secrets in a file that others can read.
func (p *parser) refuseSecrets(path string) {
	refuse := func(name, secret string) {
		if secret != "" {
			p.fault(p.file.At(name), name, "others can read this file, and it has a secret in it",
				"chmod 600 "+path+", or put the secret into a file of its own, and the path of that into tokenFile")
		}
	}
	if p.file.Relay != nil {
		refuse("relay.token", p.file.Relay.Token)
	}
	for _, s := range p.file.Services {
		name := join("services", s.Name) + ".token"
		refuse(name, s.Token)
	}
}
