package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// examples returns, for each flag that has a value, one that can be typed.
func examples() map[string]string {
	return map[string]string{
		"localForwardPort": "6379", "localForwardHost": "localhost", "protocol": "multiplex", "poolSize": "16", "sessions": "4",
		"tokenFile": "relay.token", "name": "web", "port": "20001", "group": "web", "balance": "least", "proxyProtocol": "v2",
		"allow": "192.0.2.0/24,2001:db8::/32", "deny": "192.0.2.0/24",
		"users": "100", "usersPerSecond": "10", "bytesPerSecond": "10MB",
		"tlsCa": "ca.crt", "tlsPin": "sha256//..., as the relay's log has it", "tlsServerName": "relay.example.com",

		"bind": "192.0.2.1", "ports": "20000-29999", "trustedProxies": "10.0.0.0/8", "controlProxies": "10.0.0.0/8", "sshListen": ":2222", "sshClientCa": "ssh_ca.pub", "tokens": "tokens",
		"lease": "5m", "tokenLease": "24h", "upgradeDrain": "24h",
		"acmeDomain": "relay.example.com", "acmeEmail": "admin@example.com", "acmeDirectory": "https://ca.example.com/directory",
		"tlsClientCa": "clients.crt",

		"maxUsers": "10000", "maxUsersPerSource": "256", "maxUsersPerSecond": "100", "userWait": "10s",
		"maxTunnelsPerSource": "100", "maxTunnelsPerNetwork": "1000", "maxHandshakes": "256", "maxHandshakesPerSource": "64", "handshakeTimeout": "5s",

		"config": "relay.toml", "stateDir": "/var/lib/relay", "tlsCert": "relay.crt", "tlsKey": "relay.key",
		"probe": "15s", "healthCheck": "tcp", "drain": "30s", "adminListen": "127.0.0.1:8081", "adminTokenFile": "admin.token", "metricsTunnels": "500", "logLevel": "info", "logFormat": "json", "idle": "2m",
	}
}

// example returns how a flag is typed.
func example(flag *pflag.Flag, of map[string]string) string {
	if flag.NoOptDefVal != "" { // it needs no value
		return "for example:   --" + flag.Name
	}
	return "for example:   --" + flag.Name + "=" + of[flag.Name]
}

// refuseEmpty refuses a flag that is given and empty, as an unset variable leaves it. If it
// counted as a flag that is not given, it would open what it was meant to close: the port,
// the relay, the connection.
func refuseEmpty(cmd *cobra.Command, of map[string]string) (err error) {
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		text := flag.Value.String()
		if list, ok := flag.Value.(pflag.SliceValue); ok {
			text = strings.Join(list.GetSlice(), "")
		}
		if err == nil && strings.TrimSpace(text) == "" {
			err = emptyFlag(flag, of)
		}
	})
	return err
}

func emptyFlag(flag *pflag.Flag, of map[string]string) error {
	return usagef(example(flag, of), "--%s is empty: give it a value, or leave it out", flag.Name)
}

// refuseTwice has each flag that is not a list take one value: the last of two would
// replace the first without a word.
func refuseTwice(cmd *cobra.Command) {
	refuse := func(flag *pflag.Flag) {
		if _, list := flag.Value.(pflag.SliceValue); !list {
			flag.Value = &once{Value: flag.Value}
		}
	}
	cmd.Flags().VisitAll(refuse)
	for _, sub := range cmd.Commands() {
		refuseTwice(sub)
	}
}

// once is a flag's value that can be set only once.
type once struct {
	pflag.Value
	given bool
}

// Set returns a *givenTwice the second time.
func (o *once) Set(text string) error {
	if o.given {
		return &givenTwice{first: o.String(), second: text}
	}
	o.given = true
	return o.Value.Set(text)
}

// givenTwice is the error of a flag that is set already.
type givenTwice struct{ first, second string }

func (e *givenTwice) Error() string { return fmt.Sprintf("given as %q before", e.first) }

// oneOf returns both ways of typing the flag.
func (e *givenTwice) oneOf(flag *pflag.Flag) string {
	if flag.NoOptDefVal != "" { // it needs no value
		return "once:   --" + flag.Name
	}
	return fmt.Sprintf("one of:   --%s=%s, --%s=%s", flag.Name, e.first, flag.Name, e.second)
}

// explainFlag adds an example to the error of a value that cannot be parsed, and right to any
// other error of a flag.
func explainFlag(err error, right string, of map[string]string) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return usagef(right, "%v", err)
	}
	return explainValue(invalid.GetFlag(), invalid.GetValue(), err, of)
}

// explainValue adds an example to the error of a value that cannot be parsed.
func explainValue(flag *pflag.Flag, value string, err error, of map[string]string) error {
	if twice := new(givenTwice); errors.As(err, &twice) {
		return usagef(twice.oneOf(flag), "--%s is given twice; it has one value", flag.Name)
	}
	if strings.TrimSpace(value) == "" {
		return emptyFlag(flag, of)
	}
	wrong := "cannot be read"
	switch kind := flag.Value.Type(); {
	case errors.Is(err, strconv.ErrRange):
		wrong = "is out of range"
	case kind == "int":
		wrong = "is not a number"
	case kind == "duration":
		wrong = "is not a duration: a duration has a unit, as 500ms, 30s, 5m and 24h have"
	case kind == "bool":
		wrong = "is neither true nor false"
	}
	return usagef(example(flag, of), "--%s: %+.40q %s", flag.Name, value, wrong)
}

// lookupEnv returns the value of an environment variable, and whether it is set. It refuses one
// that is empty.
func lookupEnv(name, what string) (value string, set bool, err error) {
	value, set = os.LookupEnv(name)
	if set && strings.TrimSpace(value) == "" {
		return "", true, emptyVariable(name, what)
	}
	return value, set, nil
}
