package conformance_test

import (
	"fmt"
	"testing"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/endpoint"
)

// Users of one address have one member. One that leaves moves its own users only, and has
// them again when it is back. Linux has all addresses of 127.0.0.0/8.
func TestGroupBySource(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		t.Parallel()
		c := newCrew(t, protocol)
		bySource := func(o *relay.Options) { o.Balance = relay.BalanceSource }
		a := c.serve("a", bySource)
		b, d := c.serve("b", bySource), c.serve("d", bySource)
		c.awaitMembers(3)
		before := c.bySource(a.public)
		for _, m := range []*member{a, b, d} {
			if n := count(before, m); n < sources/10 {
				t.Errorf("member %d has %d of %d sources", m.name, n, sources)
			}
		}
		b.stop()
		c.await("b to leave", func(s endpoint.Snapshot) bool { return len(s.Members) == 2 })
		for i, name := range c.bySource(a.public) {
			if before[i] != b.name && name != before[i] || name == b.name {
				t.Errorf("source %d has member %d, and before that %d", i, name, before[i])
			}
		}
		again := c.serve("b", bySource)
		c.awaitMembers(3)
		for i, name := range c.bySource(a.public) {
			if name == again.name {
				name = b.name
			}
			if name != before[i] {
				t.Errorf("source %d has member %d at last, and at first %d", i, name, before[i])
			}
		}
	})
}

const sources = 60

// bySource connects three users from each source, who leave, and returns the member of each
// source.
func (c *crew) bySource(public string) (names [sources]byte) {
	c.Helper()
	for i := range names {
		for n := range 3 {
			conn, name := c.user(public, fmt.Sprintf("127.0.1.%d", i+1))
			must(c.T, conn.Close())
			if n > 0 && name != names[i] {
				c.Errorf("source %d has members %d and %d", i, names[i], name)
			}
			names[i] = name
		}
	}
	return names
}

func count(names [sources]byte, of *member) (n int) {
	for _, name := range names {
		if name == of.name {
			n++
		}
	}
	return n
}
