package doctor_test

import (
	"encoding/json"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/doctor"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/port"
)

func TestToken(t *testing.T) {
	tokens, secret := tokensFile(t, func(*auth.Identity) {})
	old, expired := tokensFile(t, func(id *auth.Identity) { id.Expires = time.Now().Add(-time.Hour) })
	addr, _ := startRelay(t, node.Config{Tokens: tokens}, 4)
	oldAddr, _ := startRelay(t, node.Config{Tokens: old}, 4)
	for _, tt := range []struct {
		what, addr, token string
		status            doctor.Status
		parts             []string
	}{
		{"known", addr, secret, doctor.OK, []string{"the relay accepts it"}},
		{"unknown", addr, auth.NewSecret(), doctor.Problem, []string{"the relay does not know it", "(unauthorized)", "relay token new"}},
		{"none", addr, "", doctor.Problem, []string{"none is shown, and the relay asks for one", "--tokenFile"}},
		{"expired", oldAddr, expired, doctor.Problem, []string{"it has expired", "(expired)"}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			r := look(t, tt.addr, looks{token: tt.token, protocols: []string{"event"}})
			r.want(t, "relay", doctor.OK)
			r.want(t, "token", tt.status, tt.parts...)
			if tt.token != "" {
				r.want(t, "encryption", doctor.Warning, "the token and all bytes go in the clear", "--tlsPin")
			}
			if tt.status == doctor.OK {
				r.want(t, "port", doctor.OK)
				r.want(t, "event", doctor.OK)
			} else {
				r.skipped(t, "port", "public port", "event")
			}
			all, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			if tt.token != "" && strings.Contains(string(all), tt.token) {
				t.Errorf("the token is in the output: %s", all)
			}
		})
	}
}

// A peer that passes for a relay, and sends the token back, has it shown nowhere.
func TestTokenSentBack(t *testing.T) {
	const token = "a-secret-that-is-not-shown"
	addr := serve(t, func(c net.Conn) {
		b := make([]byte, 4096)
		n, err := c.Read(b)
		if err != nil {
			return
		}
		answer := "-bad-option option \"port\"\n"
		if strings.Contains(string(b[:n]), token) {
			answer = "-unauthorized you sent " + token + " and \x1b[31m\n"
		}
		_, _ = c.Write([]byte(answer))
	})
	r := look(t, addr, looks{token: token})
	r.want(t, "relay", doctor.OK)
	r.arePrintable(t)
	if all, err := json.Marshal(r); err != nil || strings.Contains(string(all), token) {
		t.Errorf("the token is in the output: %s, %v", all, err)
	}
}

func TestPorts(t *testing.T) {
	addr, public := startRelay(t, node.Config{}, 1)
	first, err := relay.Listen(t.Context(), addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { first.Close() })
	r := look(t, addr, looks{protocols: []string{"multiplex"}})
	r.want(t, "port", doctor.Problem, "(no-port)", "--ports")
	r.skipped(t, "public port", "large packets", "multiplex")

	addr, public = startRelay(t, node.Config{}, 4)
	taken, err := relay.Listen(t.Context(), addr, &relay.Options{Port: public.First})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	// This comes first: the relay keeps what another look had for a moment, or for a minute.
	r = look(t, addr, looks{protocols: []string{"event"}, change: func(f *doctor.Forwarder) { f.PublicPort = public.Last }})
	r.want(t, "port", doctor.OK, "got 127.0.0.1:"+strconv.Itoa(public.Last))

	r = look(t, addr, looks{protocols: []string{"pool"}, change: func(f *doctor.Forwarder) { f.PublicPort = public.First }})
	r.want(t, "port", doctor.Warning, "--port="+strconv.Itoa(public.First), "(port-taken)", "without it got 127.0.0.1:")
	r.want(t, "pool", doctor.OK)

	r = look(t, addr, looks{protocols: []string{"event"}, change: func(f *doctor.Forwarder) { f.PublicPort = public.Last + 1 }})
	r.want(t, "port", doctor.Problem, "(forbidden)")
	r.want(t, "event", doctor.OK)
}

// The doctor takes nothing from a forwarder with the same token that runs, and one that was
// stopped has its port again, although the token allows one tunnel, and so its lease gives
// way.
func TestForwardersKeepTheirPorts(t *testing.T) {
	own := conntest.FreePorts(t, 1)
	tokens, secret := tokensFile(t, func(id *auth.Identity) {
		id.Tunnels, id.Ports = 1, port.Set{{First: own, Last: own}}
	})
	addr, _ := startRelay(t, node.Config{Tokens: tokens}, 1)
	options := &relay.Options{Token: secret, Keys: relay.FileKeys(t.TempDir()), Protocol: relay.Event}
	listen := func() *relay.Listener {
		t.Helper()
		for again := time.NewTicker(10 * time.Millisecond); ; <-again.C {
			l, err := relay.Listen(t.Context(), addr, options)
			var refused *relay.RefusedError
			if errors.As(err, &refused) && (refused.Code == "limit" || refused.Code == "no-port") {
				continue // until the relay has noticed that the doctor is gone
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			return l
		}
	}
	l := listen()
	r := look(t, addr, looks{token: secret, protocols: []string{"multiplex"}})
	r.want(t, "port", doctor.Warning, "(limit)", "if your forwarder runs")
	answer(t, l)

	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"event", "multiplex"} {
		again := time.NewTicker(10 * time.Millisecond)
		defer again.Stop()
		for range 200 { // until the relay has noticed that the one before is gone
			if r = look(t, addr, looks{token: secret, protocols: []string{p}}); r["port"].Status == doctor.OK {
				break
			}
			<-again.C
		}
		r.want(t, "port", doctor.OK)
		r.want(t, p, doctor.OK)
	}
	if l = listen(); l.Addr().(relay.Addr).Port != own {
		t.Errorf("the forwarder has %v after the doctor, and not port %d", l.Addr(), own)
	}
}

// answer checks that a user is served.
func answer(t *testing.T, l *relay.Listener) {
	t.Helper()
	user, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
