package admission

import (
	"cmp"
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/conn"
)

// MaxBans bounds the networks that are banned at a time. Each ban copies the others, and an
// operator who needs more has a firewall.
const MaxBans = 1024

// Why a network cannot be banned.
var (
	ErrTooManyBans = errors.New("as many sources are banned as may be: lift some of the bans, or ban a network")
	ErrNoBan       = errors.New("a ban is for a valid network, and for some time")
)

// Bans are the networks that the operator has banned. The zero value has none. Its methods
// may be called concurrently.
type Bans struct {
	mu    sync.Mutex               // held to change table
	table atomic.Pointer[banTable] // never changes itself; nil is that there are no bans
}

// banTable has bans by their networks.
type banTable struct {
	until map[netip.Prefix]time.Time
	// lengths are those of the networks, of IPv4 and of IPv6.
	lengths4, lengths6 []int
}

// Ban is a banned network.
type Ban struct {
	Source netip.Prefix
	Until  time.Time
}

// normalize returns a network as bans know it: without host bits, and IPv4 as such.
func normalize(p netip.Prefix) netip.Prefix {
	addr, bits := p.Addr().WithZone(""), p.Bits()
	if addr.Is4In6() && bits >= 96 {
		addr, bits = addr.Unmap(), bits-96
	}
	return netip.PrefixFrom(addr, bits).Masked()
}

// Add bans a network for so long, from now on.
func (b *Bans) Add(source netip.Prefix, d time.Duration) error {
	if source = normalize(source); !source.IsValid() || d <= 0 {
		return ErrNoBan
	}
	now := time.Now()
	return b.change(now, func(until map[netip.Prefix]time.Time) error {
		if _, known := until[source]; !known && len(until) >= MaxBans {
			return ErrTooManyBans
		}
		until[source] = now.Add(d)
		return nil
	})
}

// Remove ends the ban of a network, and reports whether there was one.
func (b *Bans) Remove(source netip.Prefix) (was bool) {
	source = normalize(source)
	_ = b.change(time.Now(), func(until map[netip.Prefix]time.Time) error { // which does not fail
		_, was = until[source]
		delete(until, source)
		return nil
	})
	return was
}

// change has do change the bans that are in force.
func (b *Bans) change(now time.Time, do func(map[netip.Prefix]time.Time) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	until := make(map[netip.Prefix]time.Time)
	if t := b.table.Load(); t != nil {
		maps.Copy(until, t.until)
	}
	maps.DeleteFunc(until, func(_ netip.Prefix, t time.Time) bool { return !now.Before(t) })
	if err := do(until); err != nil {
		return err
	}
	if len(until) == 0 {
		b.table.Store(nil)
		return nil
	}
	t := &banTable{until: until}
	for p := range until {
		lengths := &t.lengths4
		if p.Addr().Is6() {
			lengths = &t.lengths6
		}
		if !slices.Contains(*lengths, p.Bits()) {
			*lengths = append(*lengths, p.Bits())
		}
	}
	b.table.Store(t)
	return nil
}

// Until returns when the ban of a peer ends, or the zero time if it is not banned.
func (b *Bans) Until(peer net.Addr) (until time.Time) {
	t := b.table.Load()
	if t == nil {
		return until
	}
	addr := conn.AddrPort(peer).Addr()
	lengths := t.lengths4
	if addr.Is6() {
		lengths = t.lengths6
	}
	for _, bits := range lengths {
		p, _ := addr.Prefix(bits) // fails for no address only
		if end := t.until[p]; end.After(until) {
			until = end
		}
	}
	if !time.Now().Before(until) {
		return time.Time{}
	}
	return until
}

// Has reports whether a peer is banned. Where nobody is it costs one load.
func (b *Bans) Has(peer net.Addr) bool { return !b.Until(peer).IsZero() }

// All returns the bans, by their networks.
func (b *Bans) All() []Ban {
	now, all := time.Now(), []Ban{}
	if t := b.table.Load(); t != nil {
		for p, until := range t.until {
			if now.Before(until) {
				all = append(all, Ban{p, until})
			}
		}
	}
	slices.SortFunc(all, func(a, b Ban) int {
		return cmp.Or(a.Source.Addr().Compare(b.Source.Addr()), cmp.Compare(a.Source.Bits(), b.Source.Bits()))
	})
	return all
}
