package doctor_test

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/doctor"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/wire"
)

const loopback = "127.0.0.1"

// startRelay starts a relay with one public port, or as many, and returns its address.
func startRelay(t *testing.T, c node.Config, ports int) (addr string, public port.Range) {
	t.Helper()
	first := conntest.FreePorts(t, ports)
	c.Bind, c.Ports = loopback, port.Range{First: first, Last: first + ports - 1}
	c.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	if c.Limits.TunnelsPerSource == 0 {
		c.Limits = admission.Limits{TunnelsPerSource: -1}
	}
	l, err := transport.ListenRelayClients(loopback + ":0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := node.Relay(c)
	if err != nil {
		_ = l.Close()
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Close()
		<-served
	})
	return l.Addr().String(), c.Ports
}

// tokensFile returns a file with one token, opened, and the token's secret.
func tokensFile(t *testing.T, set func(*auth.Identity)) (*auth.File, string) {
	t.Helper()
	id, secret, err := auth.New("db1")
	if err != nil {
		t.Fatal(err)
	}
	set(&id)
	path := t.TempDir() + "/tokens"
	writeFile(t, path, id.Line()+"\n")
	file, err := auth.Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(file.Close)
	return file, secret
}

// looks is how the doctor looks at a relay.
type looks struct {
	token     string
	tls       *tls.Config
	pinned    bool
	protocols []string
	change    func(*doctor.Forwarder)
	timeouts  map[string]time.Duration // of checks, where those are not as usual
}

// look has the doctor look at a relay from the forwarder's side.
func look(t *testing.T, addr string, how looks) results {
	t.Helper()
	host, number, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	control, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	if how.protocols == nil {
		how.protocols = []string{"multiplex", "pool", "event"}
	}
	f := &doctor.Forwarder{
		Host: host, Port: control, TLS: how.tls, Pinned: how.pinned, Token: how.token != "", Protocols: how.protocols,
		Listen: func(ctx context.Context, ask doctor.Ask) (net.Listener, error) {
			l, err := relay.Listen(ctx, ask.Addr, &relay.Options{
				Protocol: relay.Protocol(ask.Protocol), Port: ask.Port, Token: how.token, TLS: how.tls, Keys: noLease{},
			})
			var refused *relay.RefusedError
			if errors.As(err, &refused) {
				return nil, &wire.Refusal{Code: refused.Code, Text: refused.Text}
			}
			if err != nil {
				return nil, err
			}
			return l, nil
		},
		Wait: time.Minute, Patience: time.Minute, // on a machine that does much else
	}
	if how.change != nil {
		how.change(f)
	}
	defer f.Close()
	checks := f.Checks()
	for i, c := range checks {
		if timeout, ok := how.timeouts[c.Name]; ok {
			checks[i].Timeout = timeout
		}
	}
	return run(t, checks)
}

type noLease struct{}

func (noLease) Key(string) (string, error) { return "", nil }

type results map[string]doctor.Result

func run(t *testing.T, checks []doctor.Check) results {
	t.Helper()
	all := make(results)
	doctor.Run(t.Context(), checks, func(r doctor.Result) {
		t.Logf("%s: %s: %s > %s", r.Check, r.Status, r.Found, r.Advice)
		if _, twice := all[r.Check]; twice {
			t.Errorf("%s is reported twice", r.Check)
		}
		all[r.Check] = r
	})
	return all
}
