package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/transport"
)

const (
	// demoHost is the address on which all of the demo listens.
	demoHost = "127.0.0.1"
	demoAddr = demoHost + ":0"
	// demoStart is how long a forwarder may take to register on this machine.
	demoStart = 10 * time.Second
	// demoEnd is how long the last connection may take to end: the demo has all of its
	// bytes a moment before the forwarder knows.
	demoEnd = time.Second
)

func newDemoCommand(stderr io.Writer) *cobra.Command {
	var once bool
	var level string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See Relay work: a relay, a web server and a forwarder for each protocol",
		Long: `Starts a relay, a small web server and a forwarder for each protocol in one
process, on this machine alone. It fetches a page and a large file through each
public port, checks every byte, and prints what it measured.`,
		Example: "  relay demo\n  relay demo --once",
		Args:    takes(0, "all there is:   relay demo [--once]", "the demo has none"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkLevel(level); err != nil {
				return err
			}
			log, lines := newLogger(stderr, parseLevel(level), "")
			defer lines.Close(flushWait)
			return runDemo(cmd.Context(), cmd.OutOrStdout(), log, once)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "measure, print and exit: status 0 if all went well, 1 otherwise")
	cmd.Flags().StringVar(&level, "logLevel", "warn", "debug, info, warn or error")
	return cmd
}

// runDemo shows all three protocols. It returns when it has printed if once is set, and
// otherwise when ctx is done.
func runDemo(ctx context.Context, out io.Writer, log *slog.Logger, once bool) error {
	// The forwarders end before the relay and the web server, or they would log its loss.
	base, endBase := context.WithCancel(context.WithoutCancel(ctx))
	var servers, running sync.WaitGroup
	defer servers.Wait()
	defer endBase()
	ctx, cancel := context.WithCancel(ctx)
	defer running.Wait()
	defer cancel()

	file := newDemoFile()
	web, err := startDemoWeb(base, &servers, file)
	if err != nil {
		return fmt.Errorf("starting the web server: %w", err)
	}
	relayAddr, err := startDemoRelay(base, &servers, log)
	if err != nil {
		return fmt.Errorf("starting the relay: %w", err)
	}
	fmt.Fprintf(out, "a relay at %s, a web server at %s, and a forwarder for each protocol:\n\n", relayAddr, web)
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintf(table, "PROTOCOL\tPUBLIC ADDRESS\tA PAGE\t%d MiB\n", demoFileSize>>20)
	var failures error
	for _, protocol := range relay.Protocols() {
		public, err := startDemoForwarder(ctx, &running, relayAddr, web, protocol, log)
		if err == nil {
			err = measureDemo(ctx, table, public, protocol, file)
		}
		if err != nil && ctx.Err() == nil {
			failures = errors.Join(failures, fmt.Errorf("%s: %w", protocol, err))
		}
	}
	_ = table.Flush()
	if failures != nil || once {
		return failures
	}
	fmt.Fprint(out, "\nOpen any of the addresses in a browser. Ctrl-C ends the demo.\n")
	<-ctx.Done()
	return nil
}

func startDemoRelay(ctx context.Context, running *sync.WaitGroup, log *slog.Logger) (addr string, err error) {
	listener, err := transport.ListenRelayClients(demoAddr)
	if err != nil {
		return "", err
	}
	s, err := node.Relay(node.Config{Bind: demoHost, Ports: port.Range{First: 20000, Last: 29999}, Logger: log})
	if err != nil {
		_ = listener.Close()
		return "", err
	}
	running.Go(func() { _ = s.Serve(listener) }) // the error is always that it was closed
	running.Go(func() {
		<-ctx.Done()
		s.Close()
	})
	return listener.Addr().String(), nil
}

// startDemoForwarder runs a forwarder until ctx is done, and returns its public address.
func startDemoForwarder(
	ctx context.Context, running *sync.WaitGroup, relayAddr, web string, protocol relay.Protocol, log *slog.Logger,
) (public string, err error) {
	registered := make(chan string, 1)
	failed := make(chan error, 1)
	running.Go(func() {
		failed <- relay.Forward(ctx, relayAddr, web, &relay.Options{
			Protocol: protocol,
			Logger:   log,
			Drain:    demoEnd,
			OnRegister: func(addr net.Addr) {
				select {
				case registered <- addr.String():
				default: // again, after a loss that is in the log
				}
			},
		})
	})
	select {
	case public = <-registered:
		return public, nil
	case err = <-failed:
		return "", errors.Join(errors.New("the forwarder ended"), err)
	case <-time.After(demoStart):
		return "", fmt.Errorf("the forwarder did not register within %s", demoStart)
	}
}

// measureDemo fetches what the web server has by way of public, and adds a line about it
// to the table.
func measureDemo(ctx context.Context, table io.Writer, public string, protocol relay.Protocol, want []byte) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	page, err := timeDemoPages(ctx, client, "http://"+public+"/")
	if err != nil {
		return fmt.Errorf("fetching a page: %w", err)
	}
	file, err := timeDemoFile(ctx, client, "http://"+public+"/file", want)
	if err != nil {
		return fmt.Errorf("fetching a file: %w", err)
	}
	_, err = fmt.Fprintf(table, "%s\thttp://%s/\t%.2f ms\t%.0f MB/s, checked\n",
		protocol, public, float64(page.Microseconds())/1e3, float64(demoFileSize)/1e6/file.Seconds())
	return err
}
