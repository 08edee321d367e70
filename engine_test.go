package relay_test

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"testing"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/relaytest"
)

// sharedEngine returns an engine that is closed at the end of the test.
func sharedEngine(t *testing.T) *relay.Engine {
	t.Helper()
	e, err := relay.NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// The end of a forwarder ends its own connections, and those of the others go on.
func TestForwardersShareAnEngine(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		const others = 3
		server := relaytest.Start(t)
		local, _ := echoing(t)
		options.Engine = sharedEngine(t)
		var users []net.Conn
		known := make(map[uint64]bool)
		for i := range others {
			options.Name = "service-" + strconv.Itoa(i)
			f := run(t, server.Addr(), local, options)
			user := use(t, f.public)
			bounce(t, user, "hello")
			users = append(users, user)
			for _, u := range f.Users(10) {
				known[u.ID] = true
			}
		}
		public := make(chan net.Addr, 1)
		options.Name, options.Drain, options.OnRegister = "ending", -1, func(a net.Addr) { public <- a }
		ending, err := relay.NewForwarder(server.Addr(), local, options)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- ending.Run(ctx) }()
		user := use(t, within(t, public, "the registration"))
		bounce(t, user, "hello")
		for _, u := range ending.Users(10) {
			known[u.ID] = true
		}
		if len(known) != others+1 {
			t.Errorf("%d users have %d IDs", others+1, len(known))
		}
		cancel()
		if err := within(t, ended, "the end of Run"); err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := options.Engine.Works(t.Context()); err != nil {
			t.Errorf("Works: %v", err)
		}
		if _, err := user.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a user of the forwarder that has ended reads %v", err)
		}
		for _, user := range users {
			bounce(t, user, "still here")
		}
	})
}

func TestRunOnClosedEngine(t *testing.T) {
	e := sharedEngine(t)
	e.Close()
	f, err := relay.NewForwarder(nobody(t), "127.0.0.1:1", &relay.Options{Engine: e})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Run(t.Context()); err == nil {
		t.Error("a forwarder runs on an engine that is closed")
	}
}
