package main

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/pflag"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/policy"
)

// ownerFlags say who the forwarder is, and what it asks for on its public port, as far as
// that has to be parsed.
type ownerFlags struct {
	tokenFile, proxyProtocol, allow, deny, bytesPerSecond, balance string

	secret string // the token itself, from a configuration file
}

// define defines the flags, of which some fill options.
func (o *ownerFlags) define(fs *pflag.FlagSet, options *relay.Options) {
	fs.StringVar(&o.tokenFile, "tokenFile", "", "file with the token, for a relay that asks for one (default the token in RELAY_TOKEN)")
	fs.StringVar(&options.Name, "name", "", "name of the tunnel, in logs and for its lease")
	fs.IntVar(&options.Port, "port", 0, "public port to ask for (default one that the relay chooses, and then the same again)")
	fs.StringVar(&options.Group, "group", "", "share the public port with the other forwarders of this group that have the same token (default none)")
	fs.StringVar(&o.balance, "balance", "", "how users are spread over the group: least for where the fewest are, roundRobin for in turns, source for by their address (default least)")
	fs.StringVar(&o.proxyProtocol, "proxyProtocol", "", "v1 or v2: send the local server each user's address in a PROXY protocol header")
	fs.StringVar(&o.allow, "allow", "", "networks that users may come from, with commas between them (default all)")
	fs.StringVar(&o.deny, "deny", "", "networks that users may not come from")
	fs.IntVar(&options.Users, "users", 0, "users of the tunnel at a time (default what the relay allows)")
	fs.IntVar(&options.UsersPerSecond, "usersPerSecond", 0, "new users of the tunnel from one address (default what the relay allows)")
	fs.StringVar(&o.bytesPerSecond, "bytesPerSecond", "", "bytes through the tunnel, both ways added up, such as 10MB (default no bound)")
}

// apply sets the options that have to be parsed, and returns what is wrong with all of them.
// Fs knows which flags are given.
func (o *ownerFlags) apply(fs *pflag.FlagSet, options *relay.Options) (wrong []error) {
	if err := policy.CheckName(options.Name); options.Name != "" && err != nil {
		wrong = append(wrong, usagef("for example:   --name=web", "--name=%q: %v", options.Name, err))
	}
	if fs.Changed("port") && (options.Port < 1 || options.Port > 65535) {
		wrong = append(wrong, usagef("for example:   --port=20001", "--port=%d: ports are numbers from 1 to 65535", options.Port))
	}
	if err := o.applyGroup(options); err != nil {
		wrong = append(wrong, err)
	}
	switch strings.ToLower(o.proxyProtocol) {
	case "":
	case "v1":
		options.ProxyProtocol = 1
	case "v2":
		options.ProxyProtocol = 2
	default:
		wrong = append(wrong, usagef("one of:   --proxyProtocol=v1, --proxyProtocol=v2", "--proxyProtocol: there is no version %q", o.proxyProtocol))
	}
	return append(wrong, o.applyPolicy(fs, options)...)
}

// balances are the words of --balance.
var balances = []relay.Balance{relay.BalanceLeast, relay.BalanceRoundRobin, relay.BalanceSource}

func (o *ownerFlags) applyGroup(options *relay.Options) error {
	if err := policy.CheckName(options.Group); options.Group != "" && err != nil {
		return usagef("for example:   --group=web", "--group=%q: %v", options.Group, err)
	}
	if o.balance == "" {
		return nil
	}
	for _, b := range balances {
		if strings.EqualFold(o.balance, string(b)) {
			options.Balance = b
		}
	}
	switch {
	case options.Balance == "":
		return usagef("one of:   --balance=least, --balance=roundRobin, --balance=source", "--balance: there is no way %q to spread users", o.balance)
	case options.Group == "":
		return usagef("for example:   --group=web", "--balance=%s is for a group, and there is none", options.Balance)
	}
	return nil
}

func (o *ownerFlags) applyPolicy(fs *pflag.FlagSet, options *relay.Options) (wrong []error) {
	for _, count := range []struct {
		flag  string
		value int
	}{{"users", options.Users}, {"usersPerSecond", options.UsersPerSecond}} {
		if fs.Changed(count.flag) && count.value < 1 {
			wrong = append(wrong, usagef("for example:   --"+count.flag+"=10; without it, the relay's limits hold",
				"--%s=%d: it has to be 1 or more", count.flag, count.value))
		}
	}
	for _, list := range []struct {
		flag, text string
		to         *[]netip.Prefix
	}{{"allow", o.allow, &options.Allow}, {"deny", o.deny, &options.Deny}} {
		if list.text == "" {
			continue
		}
		networks, err := policy.ParseNetworks(list.text)
		if err != nil {
			wrong = append(wrong, usagef("for example:   --"+list.flag+"=192.0.2.0/24,2001:db8::/32", "--%s: %v", list.flag, err))
		}
		*list.to = networks
	}
	if o.bytesPerSecond != "" {
		n, err := policy.ParseBytes(o.bytesPerSecond)
		if err != nil {
			wrong = append(wrong, usagef("for example:   --bytesPerSecond=10MB", "--bytesPerSecond: %v", err))
		}
		options.BytesPerSecond = n
	}
	return wrong
}

// token returns the secret. It is never on the command line, where others could see it.
func (o *ownerFlags) token() (string, error) {
	if o.tokenFile == "" {
		token, set, err := lookupEnv("RELAY_TOKEN", "the token")
		if !set || err != nil {
			return o.secret, err
		}
		if err := auth.CheckSecret(token); err != nil {
			return "", usagef("to make a token, at the relay:   relay token new --name db1", "RELAY_TOKEN: %v", err)
		}
		return token, nil
	}
	token, err := auth.ReadSecretFile(o.tokenFile)
	if err != nil {
		return "", fmt.Errorf("--tokenFile: %w", explainFile(err))
	}
	return token, nil
}
