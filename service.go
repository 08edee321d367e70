package relay

import (
	"crypto/tls"
	"fmt"
	"slices"

	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// service is what a listener puts online. Replace has another one take its place, which may
// share the request or the end with it.
type service struct {
	options Options // with defaults
	request *request
	end     localEnd
	backend *backend // that is the end, or nil
}

// localEnd takes the users of services.
type localEnd interface {
	userHandler
	// said returns whether users can be served, as the relay is told.
	said() *serving
	// start is called when there is a service with this end, and stop when there is none any
	// more, or no time for it. Stop waits for what start has begun.
	start()
	stop()
}

// request is what a relay is asked for. Registrations with one request are alike.
type request struct {
	relay    string // address
	host     string // the relay's host, as the caller named it
	client   protocol.Client
	tls      *tls.Config   // with a server name; nil for plain text
	preamble wire.Preamble // but for what changes from one registration to the next

	// Only the goroutine that registers uses what follows.

	// token was shown last.
	token string
	// failed is the address of the relay where the last registration has failed, if
	// another address of the same name may do better, or "".
	failed string
}

// newService returns a service without an end. Serves is the address of the local server, or "",
// and instance identifies this listener. The options have their defaults.
func newService(relayAddr, serves, instance string, o Options) (*service, error) {
	host, err := splitAddr(relayAddr)
	if err != nil {
		return nil, fmt.Errorf("relay: address of the relay: %w", err)
	}
	r := &request{relay: relayAddr, host: host, tls: o.TLS}
	if r.client, err = o.client(); err != nil {
		return nil, err
	}
	if o.TLS != nil && o.TLS.ServerName == "" {
		r.tls = o.TLS.Clone()
		r.tls.ServerName = host
	}
	if r.preamble, err = o.preamble(relayAddr, serves, instance); err != nil {
		return nil, err
	}
	r.token = r.preamble.Token
	return &service{options: o, request: r}, nil
}

// asksAs reports whether a relay that has granted the request of another service need not be
// asked for this one.
func (s *service) asksAs(other *service) bool {
	a, b := s.options, other.options
	return s.request.relay == other.request.relay && a.Protocol == b.Protocol && a.PoolSize == b.PoolSize && a.Sessions == b.Sessions &&
		a.TLS == b.TLS && slices.Equal(s.request.preamble.Options(), other.request.preamble.Options())
}
