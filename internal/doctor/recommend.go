package doctor

import (
	"context"
	"fmt"
	"slices"
)

const (
	// much is how much faster another protocol has to be to be worth a flag. Less changes
	// from one run to the next.
	much = 1.5
	// enough is a rate beyond which one megabyte says nothing: it is over before TCP has
	// found its pace. It is 100 Mbit/s.
	enough = 12.5e6
	// lossy is the part of lost segments from which on users of one connection wait for each
	// other noticeably.
	lossy = 0.01
	// far is from where on a further round trip before the first byte is felt, in seconds.
	far = 0.05
)

// recommend compares the protocols by what was measured.
func (f *Forwarder) recommend(context.Context) Finding {
	if len(f.measured) == 0 {
		return skipped("none has carried bytes: see above")
	}
	best, why := f.best()
	used := f.Use
	found := fmt.Sprintf("%s suits this path: %s", best, why)
	if best == used {
		return ok("%s", found)
	}
	result := ok("%s", found)
	result.Advice = "try --protocol=" + best
	return result
}

// best returns the protocol for this path, and why.
func (f *Forwarder) best() (name, why string) {
	figures := func(name string) *protocolFigures {
		i := slices.IndexFunc(f.measured, func(p protocolFigures) bool { return p.name == name })
		if i < 0 {
			return nil
		}
		return &f.measured[i]
	}
	used := figures(f.Use)
	if used == nil {
		used = &f.measured[0]
		return used.name, "it works, and " + f.Use + " does not"
	}
	pool, event, multiplex := figures("pool"), figures("event"), figures("multiplex")
	for _, p := range f.measured {
		if rate := p.slower(); rate > much*used.slower() && used.slower() < enough {
			return p.name, fmt.Sprintf("it carries %s, and %s %s", megabytes(rate), used.name, megabytes(used.slower()))
		}
	}
	switch {
	case used == multiplex && pool != nil && f.lost() > lossy:
		return pool.name, fmt.Sprintf("%.1f %% of the packets are lost, and with a connection for each user they hold up that user alone", 100*f.lost())
	case used == event && event.FirstByteSeconds > far && pool != nil && pool.FirstByteSeconds < event.FirstByteSeconds-far/2:
		return pool.name, fmt.Sprintf("a new user waits %s, and with %s %s", seconds(pool.FirstByteSeconds), event.name, seconds(event.FirstByteSeconds))
	}
	return used.name, "no other one is faster by half, and few packets are lost"
}

// slower returns the rate of the slower direction.
func (p *protocolFigures) slower() float64 { return min(p.UpBytesPerSecond, p.DownBytesPerSecond) }

// lost returns the mean of what the protocols have lost: they share the path.
func (f *Forwarder) lost() (part float64) {
	for _, p := range f.measured {
		if p.Lost != nil {
			part += *p.Lost / float64(len(f.measured))
		}
	}
	return part
}
