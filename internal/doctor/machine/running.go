package machine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/doctor"
	"github.com/seed96252745/relay/internal/port"
)

// Process is a relay or a forwarder that runs on this machine, and has been asked how it does.
type Process struct {
	Name   string // for people
	Port   int    // the control port of a relay
	Status api.Status
	Err    error // why there is no status
}

// processes shows how those do that run here.
func (m *Machine) processes(ctx context.Context) doctor.Finding {
	if m.Running == nil {
		return skipped("nobody was asked")
	}
	all, err := m.Running(ctx)
	if err != nil {
		return warning("run the doctor as the user who runs relay", "%s", doctor.Plain(err.Error()))
	}
	var texts, troubles []string
	for _, p := range all {
		if p.Err != nil {
			texts = append(texts, p.Name+": no status")
			troubles = append(troubles, p.Name+": "+doctor.Plain(p.Err.Error()))
			continue
		}
		s := p.Status
		m.adopt(p)
		texts = append(texts, fmt.Sprintf("%s: version %s, since %s, %s, %s",
			p.Name, doctor.Plain(s.Version), doctor.Moment(s.Started), doctor.Counted(s.Tunnels, "tunnel"), doctor.Counted(s.Users, "user")))
		for _, t := range s.Problems {
			troubles = append(troubles, doctor.Plain(t.Text))
		}
	}
	const most = 8
	found := strings.Join(texts[:min(len(texts), most)], "; ")
	switch {
	case len(all) == 0:
		return ok("none runs with this state directory, or it has no socket there")
	case len(troubles) > 0:
		return warning("relay status   shows more, and   relay log   what has happened", "%s; %s", found, doctor.Some(troubles, most))
	}
	return ok("%s", found)
}

// adopt takes from the relay that is looked at what nobody has said.
func (m *Machine) adopt(p Process) {
	if p.Port == 0 || p.Port != m.Control {
		return
	}
	m.knows = !p.Status.Open
	if ports, err := port.ParseRange(p.Status.Ports); err == nil && !m.PortsGiven {
		m.Ports = ports
	}
}

// runningTimeout bounds asking processes: one that is stopped does not answer.
const runningTimeout = 10 * time.Second
