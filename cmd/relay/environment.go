package main

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/seed96252745/relay/internal/config"
)

// prefix begins the names of all variables that are meant for Relay.
const prefix = "RELAY_"

// variable returns the variable of the environment that a flag may come from.
func variable(flag string) string {
	var b strings.Builder
	b.WriteString(prefix)
	for _, r := range flag {
		if 'A' <= r && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}

// otherVariables are those that stand for no flag.
func otherVariables() map[string]string {
	return map[string]string{
		"RELAY_TOKEN":      "the token itself, which must not be on a command line",
		"RELAY_UPGRADE_FD": "set by a process for the one that replaces it",
	}
}

// environment has the variables that are meant for Relay.
type environment map[string]string

// readEnvironment leaves out what Kubernetes, and Docker with links, set in every container that
// runs beside a service called relay: RELAY_PORT=tcp://10.0.0.1:8080, and others with other ends.
func readEnvironment() environment {
	e := make(environment)
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, prefix) && !linkValue.MatchString(value) && !linkName.MatchString(name) {
			e[name] = value
		}
	}
	return e
}

var (
	linkValue = regexp.MustCompile(`^(tcp|udp|sctp)://`)
	linkName  = regexp.MustCompile(`_SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?$|_PORT_[0-9]+_(TCP|UDP|SCTP)(_[A-Z]+)?$`)
)

// take gives flags of sets the values of their variables, but for those that the command line
// has given.
func (e environment) take(f *flags, sets ...*pflag.FlagSet) (err error) {
	for _, fs := range sets {
		fs.VisitAll(func(flag *pflag.Flag) {
			name := variable(flag.Name)
			if value, set := e[name]; set && err == nil {
				err = e.takeOne(f, flag, name, value)
			}
		})
	}
	return err
}

func (e environment) takeOne(f *flags, flag *pflag.Flag, name, value string) error {
	if strings.TrimSpace(value) == "" {
		what := "a value"
		if flag.Name == "tokens" {
			what = "the path of a tokens file"
		}
		return emptyVariable(name, what)
	}
	if flag.Changed {
		return nil
	}
	return f.renamed(f.set(flag, value, origin{variable: name}))
}

// unused returns a line for each variable that has no effect: those of the other side, as where
// relay and forwarder have one file of variables, and those that do not exist. In are the
// flags of this process.
func (e environment) unused(f *flags, side string, in ...*pflag.FlagSet) (lines []string) {
	names := slices.Collect(maps.Keys(otherVariables()))
	for _, fs := range f.all() {
		fs.VisitAll(func(flag *pflag.Flag) { names = append(names, variable(flag.Name)) })
	}
	used := make(map[string]bool)
	for _, fs := range in {
		fs.VisitAll(func(flag *pflag.Flag) { used[variable(flag.Name)] = true })
	}
	for _, name := range slices.Sorted(maps.Keys(e)) {
		switch similar := config.Similar(name, names); {
		case used[name], otherVariables()[name] != "":
		case slices.Contains(names, name):
			lines = append(lines, fmt.Sprintf("the variable %s has no effect: %s", name, side))
		case similar != "":
			lines = append(lines, fmt.Sprintf("the variable %s has no effect: there is no such setting; did you mean %s?", name, similar))
		default:
			lines = append(lines, fmt.Sprintf("the variable %s has no effect: there is no such setting", name))
		}
	}
	return lines
}

// warn logs lines that are about how the process was started.
func warn(log *slog.Logger, lines []string) {
	for _, line := range lines {
		log.Warn(line)
	}
}

// emptyVariable returns the error of a variable that is set and empty. That is a mistake, as an
// empty flag is: an operator who sets it wants what it is for.
func emptyVariable(name, what string) error {
	return usagef("to go without:   unset "+name, "%s is set, and empty: put %s into it, or unset it", name, what)
}
