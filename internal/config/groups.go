package config

import (
	"cmp"
	"fmt"
	"reflect"
)

// checkGroups refuses services of one group that differ in what a group has in common, and a
// balance without a group.
func (p *parser) checkGroups() {
	type member struct{ group, token, tokenFile string }
	first := make(map[member]Service)
	for _, s := range p.file.Services {
		name := join("services", s.Name)
		if s.Group == "" {
			if s.Balance != "" {
				p.fault(p.file.At(name+".balance"), name+".balance", "it is for a group, and there is none", `for example: group = "web"`)
			}
			continue
		}
		as := member{s.Group, s.Token, s.TokenFile}
		other, is := first[as]
		if !is {
			first[as] = s
			continue
		}
		if key := other.differs(s); key != "" {
			at := p.file.At(name + "." + key)
			if at == (Position{}) {
				at = p.file.At(name)
			}
			p.fault(at, name+"."+key, fmt.Sprintf("%s is of group %q too, and has it otherwise", join("services", other.Name), s.Group),
				"give it the same in all services of the group")
		}
	}
}

// differs returns the first key of those that a group has in common in which another service
// differs, or "".
func (s Service) differs(other Service) (key string) {
	for _, of := range []struct {
		key  string
		a, b any
	}{
		{"port", s.Port, other.Port},
		{"balance", cmp.Or(s.Balance, "least"), cmp.Or(other.Balance, "least")},
		{"allow", s.Allow, other.Allow},
		{"deny", s.Deny, other.Deny},
		{"users", s.Users, other.Users},
		{"usersPerSecond", s.UsersPerSecond, other.UsersPerSecond},
		{"bytesPerSecond", s.BytesPerSecond, other.BytesPerSecond},
	} {
		if !reflect.DeepEqual(of.a, of.b) {
			return of.key
		}
	}
	return ""
}
