package wire

// Balance is how the users of a group are spread over its members (docs/protocol.md,
// "Groups"). The empty one stands for BalanceLeast.
type Balance string

const (
	// BalanceLeast gives a user to the member with the fewest.
	BalanceLeast Balance = "least"
	// BalanceRoundRobin gives users to the members in turns.
	BalanceRoundRobin Balance = "round-robin"
	// BalanceSource gives users of one source to one member.
	BalanceSource Balance = "source"
)

func parseBalance(p *Preamble, value string) string {
	p.Balance = Balance(value)
	switch p.Balance {
	case BalanceLeast, BalanceRoundRobin, BalanceSource:
		return ""
	}
	return wanted(false, string(BalanceLeast+", "+BalanceRoundRobin+" or "+BalanceSource))
}
