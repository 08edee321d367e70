package endpoint_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/endpoint"
)

var (
	bannedClient  = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}
	bannedNetwork = netip.MustParsePrefix("192.0.2.1/32")
)

// ban bans the relay client, and ends what there is of it.
func (p *port) ban() {
	if err := p.admission.Ban(bannedNetwork, time.Hour); err != nil {
		p.Error(err)
	}
	p.group.EndBanned()
}

// A ban of a relay client ends a user who is about to be joined with it.
func TestBanWhileUserIsJoined(t *testing.T) {
	withPort(t, func(p *port) {
		s := newStarter()
		if err := p.endpoint.Bind(endpoint.Client{Session: s, Protocol: "event", Addr: bannedClient}); err != nil {
			p.Fatal(err)
		}
		near, far := conntest.Memory()
		s.starting = func() {
			p.ban()
			s.opened(near) // which came at the same time
		}
		conntest.WantReset(p.T, p.user())
		conntest.WantReset(p.T, far)
	})
}

// A relay client that is banned while it registers does not stay.
func TestBanWhileRelayClientRegisters(t *testing.T) {
	withPort(t, func(p *port) {
		s := newStarter()
		p.ban()
		if err := p.endpoint.Bind(endpoint.Client{Session: s, Protocol: "event", Addr: bannedClient}); err != nil {
			p.Fatal(err)
		}
		<-s.ended.Done()
		if len(p.endpoint.Tunnels()) > 0 {
			p.Error("it serves the port")
		}
	})
}
