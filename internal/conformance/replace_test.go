package conformance_test

import (
	"context"
	"net"
	"strconv"
	"testing"

	"github.com/seed96252745/relay"
)

// Two forwarders of one owner that exchange their ports give way to each other.
func TestForwardersExchangePorts(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		t.Parallel()
		c := newCrew(t, protocol)
		one, two := c.replaceable("one"), c.replaceable("two")
		user, _ := c.user(one.public, "")
		one.replace(c, 3, portOf(t, two.public))
		two.replace(c, 4, portOf(t, one.public))
		for at, of := range map[string]*replaceable{one.public: two, two.public: one} {
			if got := within(t, of.registered, "the other port"); got != at {
				t.Errorf("registered at %s, want %s", got, at)
			}
			if _, name := c.user(at, ""); name != of.name {
				t.Errorf("a user of %s is served by %d, want %d", at, name, of.name)
			}
		}
		echoes(t, user)
	})
}

// replaceable is a forwarder without a group that is replaced.
type replaceable struct {
	*relay.Forwarder
	name       byte // of the server
	options    relay.Options
	public     string
	registered chan string
}

// replaceable runs a forwarder before a server of its own.
func (c *crew) replaceable(name string) *replaceable {
	c.Helper()
	c.names++
	r := &replaceable{name: c.names, registered: make(chan string, 100)}
	r.options = *with(c.protocol, relay.Options{
		Keys: oneKey(name), Name: name, Token: c.secret, TLS: c.encrypt, Drain: -1,
		OnRegister: func(public net.Addr) { r.registered <- public.String() },
	})
	var err error
	r.Forwarder, err = relay.NewForwarder(c.addr, serveLocal(c.T, greetAndEcho(r.name)), &r.options)
	must(c.T, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	c.Cleanup(func() {
		cancel()
		must(c.T, <-ended)
	})
	r.public = within(c.T, r.registered, "the forwarder to register")
	return r
}

// replace has the forwarder serve with another server at another port.
func (r *replaceable) replace(c *crew, name byte, port int) {
	c.Helper()
	r.name, r.options.Port = name, port
	must(c.T, r.Replace(c.addr, serveLocal(c.T, greetAndEcho(name)), &r.options))
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	_, number, err := net.SplitHostPort(addr)
	must(t, err)
	port, err := strconv.Atoi(number)
	must(t, err)
	return port
}
