package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/doctor"
	"github.com/seed96252745/relay/internal/wire"
)

// doctorFlags are those of relay doctor. It has all others, too, so that they can stay in a
// command line that does not work.
type doctorFlags struct {
	flags
	json bool
	idle time.Duration
}

const rightDoctor = "beside the server:         relay doctor --localForwardPort=6379 relay.example.com 8080\n" +
	"at the relay's machine:    relay doctor 8080"

func newDoctorCommand() *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor [flags of the relay] [localport]\n  relay doctor [flags of the forwarder] <host> <port>",
		Short: "Find out why a forwarder or a relay does not work, and what to do",
		Long: `Finds out why a forwarder or a relay does not work, and what to do.

Put doctor into the command line that does not work, and leave its flags there:
all flags of forwarder and relay are taken (relay --help lists them).

With a host and a port it looks from the forwarder's side: the name, the
connection, what answers there, TLS, token and port, 1 MiB of bytes through each
protocol, large packets, and the server to put online. It opens a public port of
its own, is the user there, and gives the port back. A forwarder that runs is
left alone.

Without a host it looks at this machine, as one that runs a relay: ports,
firewall, descriptors, settings of the kernel, certificate, state directory.

What it prints has hosts and addresses, and no tokens and no keys.

Exit status: 0 without a problem, 1 with one, 2 if the command line is wrong.`,
		Example: `  relay doctor --localForwardPort=6379 relay.example.com 8080
  relay doctor --idle=5m relay.example.com 8080
  relay doctor 8080`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return f.renamed(runDoctor(cmd, args, &f)) },
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return explainFlag(err, rightDoctor, examples()) })
	f.define()
	for _, group := range f.groups() {
		group.flags.VisitAll(func(flag *pflag.Flag) { flag.Hidden = true })
		cmd.Flags().AddFlagSet(group.flags)
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON, when all is done")
	cmd.Flags().DurationVar(&f.idle, "idle", 0, "how long to look at idle connections, which a NAT may forget; 0s is not at all")
	return cmd
}

// runDoctor looks from the forwarder's side if there is a host, and otherwise at this machine.
func runDoctor(cmd *cobra.Command, args []string, f *doctorFlags) error {
	if err := f.takeVariables(args); err != nil {
		return err
	}
	switch {
	case f.configFile != "":
		return usagef(rightDoctor, "the doctor looks at one tunnel or one relay at a time, and reads no file of several: give it flags in place of --config")
	case f.idle < 0 || f.idle > doctor.MaxIdle:
		return usagef("for example:   --idle=2m", "--idle=%s: it can be up to %s", f.idle, doctor.MaxIdle)
	case len(f.tls.check()) > 0:
		return firstOf(f.tls.check())
	case len(args) != 2 && len(f.localForwardPort) == 0 && !slices.ContainsFunc(args, isNoPort):
		return f.doctorHere(cmd, args)
	}
	patient, err := f.patient(cmd, args)
	if err != nil {
		return err
	}
	defer patient.Close()
	title := fmt.Sprintf("from the forwarder's side, to %s", net.JoinHostPort(patient.Host, strconv.Itoa(patient.Port)))
	return f.examine(cmd, "forwarder", title, patient.Checks())
}

// takeVariables takes those variables that the forwarder or the relay would take.
func (f *doctorFlags) takeVariables(args []string) error {
	env := readEnvironment()
	if err := env.take(&f.flags, f.ofBoth, f.ofRelay, f.ofRelayLimits); err != nil {
		return err
	}
	if len(args) != 2 && len(f.localForwardPort) == 0 {
		return nil
	}
	return env.take(&f.flags, f.ofForwarder)
}

// isNoPort reports whether an argument was not meant to be a port of this machine.
func isNoPort(arg string) bool {
	return strings.ContainsFunc(arg, func(r rune) bool { return r < '0' || r > '9' })
}

// patient returns what to look at from the forwarder's side. It reads the flags as the
// forwarder does.
func (f *doctorFlags) patient(cmd *cobra.Command, args []string) (*doctor.Forwarder, error) {
	host, port, err := doctorTarget(args)
	if err != nil {
		return nil, err
	}
	if err := firstOf(f.checkForwarder()); err != nil {
		return nil, err
	}
	options, protocol := f.options, string(f.options.Protocol)
	if options.Token, err = f.owner.token(); err != nil {
		return nil, err
	}
	if options.TLS, err = f.tls.client(slog.New(slog.DiscardHandler)); err != nil {
		return nil, err
	}
	local := ""
	if len(f.localForwardPort) > 1 {
		return nil, usagef(rightDoctor, "the doctor looks at one tunnel at a time, and --localForwardPort has %d ports", len(f.localForwardPort))
	}
	if len(f.localForwardPort) == 1 {
		_, locals, err := forwarderAddrs(cmd, args, &f.flags)
		if err != nil {
			return nil, err
		}
		local = locals[0]
	}
	order := protocols() // the one to use first, but for pool
	slices.SortStableFunc(order, func(a, b string) int { return cmp.Compare(placeOf(a, protocol), placeOf(b, protocol)) })
	return &doctor.Forwarder{
		Host: host, Port: port,
		TLS: options.TLS, Pinned: len(f.tls.pins) > 0 && f.tls.ca == "",
		Token:     options.Token != "",
		Protocols: order, Use: protocol, PublicPort: options.Port,
		Listen: listenAs(host, options),
		Local:  local, ProxyProtocol: options.ProxyProtocol,
		Idle: f.idle,
	}, nil
}

// placeOf returns when a protocol is tried: the one to use first, and pool last.
func placeOf(protocol, used string) int {
	const first, between, last = 0, 1, 2
	switch protocol {
	case string(relay.Pool):
		return last
	case used:
		return first
	}
	return between
}

// doctorTarget returns host and port of the relay.
func doctorTarget(args []string) (host string, port int, err error) {
	line := func(host, port string) string {
		return fmt.Sprintf("to look from here:   relay doctor %s %s", host, port)
	}
	if len(args) != 2 {
		right := rightDoctor
		if len(args) == 1 {
			right = rightHost(checkHost(args[0]), "8080", right, line)
		}
		return "", 0, usagef(right, "%s; the doctor has host and port of the relay, or a port of this machine, or none", argumentsGiven(len(args)))
	}
	if port, err = parsePort(args[1], "port of the relay", rightDoctor); err != nil {
		return "", 0, err
	}
	if err := checkHost(args[0]); err != nil {
		return "", 0, usagef(rightHost(err, args[1], rightDoctor, line), "host of the relay: %v", err)
	}
	return args[0], port, nil
}

// noLease is a KeyStore that keeps nothing: the port is given back at once.
type noLease struct{}

// Key returns no key.
func (noLease) Key(string) (string, error) { return "", nil }

// listenAs returns a function that registers at the relay with the token and the encryption of
// a forwarder, and without its name, its lease and its policy.
func listenAs(host string, of relay.Options) func(context.Context, doctor.Ask) (net.Listener, error) {
	if of.TLS != nil && of.TLS.ServerName == "" {
		of.TLS = of.TLS.Clone()
		of.TLS.ServerName = host // and not one of its addresses
	}
	return func(ctx context.Context, ask doctor.Ask) (net.Listener, error) {
		l, err := relay.Listen(ctx, ask.Addr, &relay.Options{
			Protocol: relay.Protocol(ask.Protocol), Port: ask.Port,
			Token: of.Token, TLS: of.TLS, Name: "relay-doctor", Keys: noLease{},
		})
		var refused *relay.RefusedError
		switch {
		case errors.As(err, &refused):
			return nil, &wire.Refusal{Code: refused.Code, Text: refused.Text}
		case err != nil:
			return nil, err
		}
		return l, nil
	}
}

// report is what --json prints.
type report struct {
	Side     string          `json:"side"` // forwarder, or relay
	Version  string          `json:"version"`
	At       time.Time       `json:"at"`
	Problems int             `json:"problems"`
	Warnings int             `json:"warnings"`
	Checks   []doctor.Result `json:"checks"`
}

// examine runs checks, and prints each result as it comes.
func (f *doctorFlags) examine(cmd *cobra.Command, side, title string, checks []doctor.Check) error {
	out := cmd.OutOrStdout()
	printed := newChart(out, checks)
	show := printed.show
	if f.json {
		show = func(doctor.Result) {}
	} else {
		printed.title(title)
	}
	r := report{Side: side, Version: version(), At: time.Now().UTC()}
	r.Checks = doctor.Run(cmd.Context(), checks, show)
	r.Problems, r.Warnings = doctor.Count(r.Checks, doctor.Problem), doctor.Count(r.Checks, doctor.Warning)
	if f.json {
		if err := writeIndented(out, r); err != nil {
			return err
		}
	} else {
		printed.summary(r.Problems, r.Warnings)
	}
	switch {
	case cmd.Context().Err() != nil:
		return errors.New("interrupted: not everything was looked at")
	case r.Problems > 0:
		return fmt.Errorf("the doctor has found %s", count(r.Problems, "problem"))
	}
	return nil
}

func writeIndented(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// count returns a number with its noun.
func count(n int, noun string) string {
	return strconv.Itoa(n) + " " + noun + cmp.Or(map[bool]string{true: "", false: "s"}[n == 1], "")
}
