package relay_test

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/relaytest"
)

// A server that is down has the forwarder register as one that can serve nobody. Another server
// that takes its place meanwhile is given users.
func TestReplaceServerWhileItRegisters(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		server := relaytest.Start(t)
		asked, goOn, public := make(chan struct{}, 10), make(chan struct{}), make(chan net.Addr, 10)
		options.Drain = -1
		options.OnRegister = func(a net.Addr) { public <- a }
		options.TokenSource = func() (string, error) {
			asked <- struct{}{}
			<-goOn
			return "", nil
		}
		checked := *options
		checked.HealthCheck = new(relay.HealthCheck)
		f, err := relay.NewForwarder(server.Addr(), nobody(t), &checked)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- f.Run(ctx) }()
		within(t, asked, "the registration to begin")
		if err := f.Replace(server.Addr(), naming(t, "other"), options); err != nil {
			t.Error(err)
		}
		close(goOn)
		servedBy(t, within(t, public, "the registration"), "other")
		cancel()
		if err := within(t, ended, "the end of Run"); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// Without an owner no port passes to another key: to give up the one that there is would not help.
func TestReplacePortTaken(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		server := relaytest.Start(t)
		other := run(t, server.Addr(), naming(t, "other"), options)
		taken := *options
		taken.Port = other.public.(relay.Addr).Port //nolint:forcetypeassert // as State says
		f := run(t, server.Addr(), naming(t, "one"), options)
		f.replace(t, server.Addr(), naming(t, "two"), &taken)
		var refused *relay.RefusedError
		s := f.until(t, "the refusal", func(s relay.ForwarderState) bool { return errors.As(s.Err, &refused) })
		if refused.Code != "port-taken" || !s.Registered || s.Public != f.public {
			t.Errorf("the state is %+v", s)
		}
		servedBy(t, f.public, "one")
		f.unclosed(t)
	})
}
