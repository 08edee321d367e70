package endpoint

import (
	"bytes"
	"time"

	"github.com/seed96252745/relay/internal/proxyproto"
	"github.com/seed96252745/relay/internal/wire"
)

// probe is a connection on which the relay client answers whether it could serve a user.
type probe struct {
	sideConn
	health *health
	late   bool   // health.mu guards it
	line   []byte // of the answer, read so far; only the reader uses it
}

// newProbe returns a probe of a tunnel that the caller has entered. Start follows.
func (h *health) newProbe() *probe {
	p := &probe{health: h}
	p.sideConn = sideConn{tunnel: h.tunnel, unsent: proxyproto.ProbeHeader(), began: time.Now(), received: p.receive, failed: p.fail}
	return p
}

// maxAnswer is more than an answer has.
const maxAnswer = 128

// receive takes the next part of the answer.
func (p *probe) receive(b []byte) {
	p.line = append(p.line, b...)
	if bytes.IndexByte(p.line, '\n') >= 0 || len(p.line) > maxAnswer {
		p.end(wire.ReadProbeAnswer(bytes.NewReader(p.line)))
	}
}

func (p *probe) fail(err error) { p.end(wire.ProbeAnswer{}, err) }

// end ends the probe with an answer or an error. Only the first call counts.
func (p *probe) end(answer wire.ProbeAnswer, err error) {
	if !p.close(err != nil) {
		return
	}
	h := p.health
	defer h.tunnel.users.Done()
	if err != nil {
		h.report(h.unanswered(p, err))
		return
	}
	h.report(h.answered(p, answer))
}

// abort ends the probe without an answer that anybody wants.
func (p *probe) abort() {
	if p.close(true) {
		p.health.tunnel.users.Done()
	}
}

// probeLost is after how long without an acknowledgment the connection of a probe is lost, as
// other connections to relay clients are. A pool would have it for as long as the kernel
// goes on trying. A probe is lost as well whose connection does not come in that time: a relay
// client forgets a claim that it cannot make, as when it is short of descriptors, and
// probes that nobody answers any more would keep out further ones.
const probeLost = 30 * time.Second

// endIfLost ends the probe if its connection is lost, and reports whether it is.
func (p *probe) endIfLost() bool {
	lost := p.late && (p.isUnacknowledged(probeLost) || p.isUnconnected(probeLost))
	if lost {
		p.abort()
	}
	return lost
}
