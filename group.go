package relay

import (
	"fmt"

	"github.com/seed96252745/relay/internal/policy"
	"github.com/seed96252745/relay/internal/wire"
)

// Balance is how the users of a group are spread over its members.
type Balance string

const (
	// BalanceLeast gives each user to the member that has the fewest. It is the default.
	BalanceLeast Balance = "least"
	// BalanceRoundRobin gives users to the members in turns.
	BalanceRoundRobin Balance = "roundRobin"
	// BalanceSource gives all users of one address to one member, as long as that serves.
	BalanceSource Balance = "source"
)

// balances are the words of the protocol.
var balances = map[Balance]wire.Balance{
	"": "", BalanceLeast: wire.BalanceLeast, BalanceRoundRobin: wire.BalanceRoundRobin, BalanceSource: wire.BalanceSource,
}

// checkGroup returns an error if Group or Balance cannot be meant.
func (o Options) checkGroup() error {
	if _, known := balances[o.Balance]; !known {
		return fmt.Errorf("relay: unknown balance %q: there are least, roundRobin and source", o.Balance)
	}
	if o.Group == "" {
		if o.Balance != "" {
			return fmt.Errorf("relay: balance %s is for a group, and there is none", o.Balance)
		}
		return nil
	}
	if err := policy.CheckName(o.Group); err != nil {
		return fmt.Errorf("relay: group %q: %w", o.Group, err)
	}
	return nil
}
