package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"syscall"

	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/event"
	"github.com/seed96252745/relay/internal/protocol/multiplex"
	"github.com/seed96252745/relay/internal/protocol/pool"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/wire"
)

// runRelay is relay <localport>.
func runRelay(ctx context.Context, args []string, f *flags, log *slog.Logger) error {
	switch len(args) {
	case 0:
		return usagef(rightBoth, "no port is given")
	case 1:
	case 2:
		return usagef(fmt.Sprintf("to put a server online:   relay --localForwardPort=<its port> %s %s", args[0], args[1]),
			"a host and a port are given, but no server to put online")
	default:
		return usagef(rightBoth, "%d arguments are given; the relay has one, its port", len(args))
	}
	port, err := parsePort(args[0], "port of the relay", rightBoth)
	if err != nil {
		return err
	}
	ports, err := server.ParsePortRange(f.ports)
	if err != nil {
		return usagef("for example:   --ports=20000-29999", "--ports: %v", err)
	}
	listener, err := transport.ListenRelayClients(net.JoinHostPort(f.bind, strconv.Itoa(port)))
	if err != nil {
		return explainListen(err, port)
	}
	s, err := newServer(f.bind, ports, log)
	if err != nil {
		_ = listener.Close()
		return err
	}
	greet(log, f, port)
	return serve(ctx, s, listener, f, log)
}

// budgetShare is the part of memory that may be held for users who do not read:
// one in so many.
const budgetShare = 4

// newServer puts a relay together.
func newServer(bind string, ports server.PortRange, log *slog.Logger) (*server.Server, error) {
	return server.New(server.Config{
		Protocols: map[string]protocol.Relay{
			wire.Multiplex: multiplex.Relay{Budget: multiplex.NewBudget(memory() / budgetShare)},
			wire.Pool:      pool.NewRelay(),
			wire.Event:     event.NewRelay(),
		},
		Ports: ports,
		Listen: func(port int) (server.Listener, error) {
			return transport.ListenUsers(net.JoinHostPort(bind, strconv.Itoa(port)))
		},
		Logger: log,
	})
}

// serve serves until ctx is done, and then drains.
func serve(ctx context.Context, s *server.Server, listener server.Listener, f *flags, log *slog.Logger) error {
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	select {
	case err := <-served:
		s.Close()
		return err
	case <-ctx.Done():
	}
	log.Info("shutting down; connections may finish, a second signal cuts them off", "drain", f.drain.String())
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.drain)
	defer cancel()
	if err := s.Shutdown(patience); err != nil {
		log.Warn("connections that had not finished were reset", "drain", f.drain.String())
	}
	if err := <-served; !errors.Is(err, server.ErrServerClosed) {
		return err
	}
	return nil
}

// greet tells the operator what to know first, and what to do next.
func greet(log *slog.Logger, f *flags, port int) {
	log.Info("this relay is open: whoever reaches its port may open tunnels; to change that, " +
		"give it a private address with --bind or put a firewall before it")
	host := f.bind
	if host == "" {
		host = "<this machine>"
	}
	log.Info(fmt.Sprintf("to put a server online, run beside it:  relay --localForwardPort=<its port> %s %d", host, port))
	log.Info("relay is ready", "port", port, "publicPorts", f.ports)
}

// explainListen says what to do when the control port cannot be had.
func explainListen(err error, port int) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("port %d is in use already: stop the program that has it, or choose another port", port)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("port %d is not for everybody: ports below 1024 need privileges, choose a higher one", port)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("--bind: this machine does not have that address: %w", err)
	}
	return fmt.Errorf("cannot listen on port %d: %w", port, err)
}
