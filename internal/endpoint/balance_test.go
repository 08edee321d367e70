package endpoint_test

import (
	"fmt"
	"net"
	"testing"
	"testing/synctest"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/wire"
)

// addressed is a user's connection from an address.
type addressed struct {
	*conntest.MemoryConn
	from net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.from }

// All users of a network of 64 bits of IPv6 have one member: a machine changes its address
// within that. So have those of an IPv4 address that comes as IPv6.
func TestOneMemberForIPv6Network(t *testing.T) {
	withGroup(t, func(g *grouped) {
		var mates []*mate
		for i := range 3 {
			mates = append(mates, newMate(true))
			g.mustJoin(fmt.Sprint(i), mates[i], func(c *endpoint.Client) { c.Terms.Balance = wire.BalanceSource })
		}
		// member returns which one serves a user from an address.
		member := func(from string) (by int) {
			var before []int64
			for _, m := range mates {
				before = append(before, m.made.Load())
			}
			near, u := conntest.Memory()
			if wait := g.endpoint.Serve(addressed{near, &net.TCPAddr{IP: net.ParseIP(from), Port: 9}}, nil); wait != nil {
				g.Fatal("there is no place for the user")
			}
			synctest.Wait()
			for i, m := range mates {
				if m.made.Load() > before[i] {
					by = i
				}
			}
			_ = u.Reset()
			return by
		}
		used := make(map[int]bool)
		for n := range 20 {
			first := member(fmt.Sprintf("2001:db8:0:%x::1", n))
			used[first] = true
			for _, host := range []string{":2", "ffff:ffff:ffff:ffff", "8000::"} {
				if by := member(fmt.Sprintf("2001:db8:0:%x:%s", n, host)); by != first {
					g.Errorf("network %d has the members %d and %d", n, first, by)
				}
			}
		}
		if len(used) != len(mates) {
			g.Errorf("20 networks have %d of 3 members", len(used))
		}
		for n := range 20 {
			if four, mapped := member(fmt.Sprintf("192.0.2.%d", n)), member(fmt.Sprintf("::ffff:192.0.2.%d", n)); four != mapped {
				g.Errorf("192.0.2.%d has the members %d and %d", n, four, mapped)
			}
		}
	})
}
