package history

import (
	"net"
	"net/netip"
	"time"

	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/observe"
)

// ended is a user's connection that is over. There are 10,000 of them, and the garbage
// collector would look at each pointer again and again while new connections come: so there
// are none.
type ended struct {
	at               time.Duration // since the start
	waited, duration time.Duration
	received, sent   int64
	user             address
	tunnel           uint32 // in tunnels
	endedBy, how     word
	reason, limit    word
	joined           bool
}

// address is a netip.AddrPort without a pointer.
type address struct {
	ip   [16]byte
	port uint16
	bits uint8 // of the address; 0 is none
}

func addressOf(a net.Addr) address {
	ap := conn.AddrPort(a)
	if !ap.IsValid() {
		return address{}
	}
	return address{ap.Addr().As16(), ap.Port(), uint8(ap.Addr().BitLen())} //nolint:gosec // it is 32 or 128
}

func (a address) String() string {
	addr := netip.AddrFrom16(a.ip)
	switch a.bits {
	case 0:
		return ""
	case 32:
		addr = addr.Unmap()
	}
	return netip.AddrPortFrom(addr, a.port).String()
}

// word is a number for an identifier.
type word uint8

// words has the identifiers that events have had. There are fewer than 256, as they are a
// closed set; further ones become the last one.
type words struct {
	numbers map[string]word
	texts   []string // only appended to
}

func (w *words) of(text string) word {
	n, known := w.numbers[text]
	if known {
		return n
	}
	if len(w.texts) > 255 {
		return 255
	}
	n = word(len(w.texts)) //nolint:gosec // it is at most 255
	w.numbers[text] = n
	w.texts = append(w.texts, text)
	return n
}

// tunnel is what is known of the tunnel of a connection.
type tunnel struct {
	id                      uint64
	port                    int
	identity, service, name string
}

// tunnels has the tunnels of the connections that are kept.
type tunnels struct {
	numbers map[tunnel]uint32
	all     []usedTunnel
	free    []uint32
	last    uint32 // that was used
}

type usedTunnel struct {
	tunnel
	uses int
}

// use returns the number of a tunnel, for one more connection.
func (t *tunnels) use(of *observe.Tunnel) uint32 {
	is := tunnel{of.ID, of.Port, of.Identity, of.Service, of.Name}
	if int(t.last) >= len(t.all) || t.all[t.last].uses == 0 || t.all[t.last].tunnel != is {
		t.last = t.find(is)
	}
	t.all[t.last].uses++
	return t.last
}

func (t *tunnels) find(is tunnel) uint32 {
	n, known := t.numbers[is]
	switch {
	case known:
		return n
	case len(t.free) > 0:
		n = t.free[len(t.free)-1]
		t.free = t.free[:len(t.free)-1]
		t.all[n].tunnel = is
	default:
		n = uint32(len(t.all)) //nolint:gosec // there are no more of them than connections
		t.all = append(t.all, usedTunnel{tunnel: is})
	}
	t.numbers[is] = n
	return n
}

// drop notes that a connection is not kept any more.
func (t *tunnels) drop(n uint32) {
	u := &t.all[n]
	if u.uses--; u.uses == 0 {
		delete(t.numbers, u.tunnel)
		u.tunnel = tunnel{}
		t.free = append(t.free, n)
	}
}

// addEnded remembers a connection that is over.
func (h *History) addEnded(r *ring[ended], e *observe.Event, now time.Time, why cause) {
	user := addressOf(e.User)
	h.mu.Lock()
	defer h.mu.Unlock()
	full := r.added >= len(r.blocks)*blockSize
	item := r.next(e.Err)
	if full {
		h.tunnels.drop(item.tunnel)
	}
	item.at, item.user, item.tunnel = now.Sub(h.start), user, h.tunnels.use(&e.Tunnel)
	item.waited, item.duration, item.received, item.sent = e.Waited, e.Duration, e.Received, e.Sent
	if e.Waited == 0 {
		item.waited = e.DialTime
	}
	item.endedBy, item.how = h.words.of(string(e.EndedBy)), h.words.of(string(e.How))
	item.reason, item.limit = h.words.of(string(e.Reason)), h.words.of(e.Limit)
	item.joined = e.Name == observe.UserDone
	h.causes.add(now.Sub(h.start), why)
}

// seen is a connection that is over, as a reader has it.
type seen struct {
	ended
	of  tunnel
	err error
}

// lastEnded returns the last connections of a ring, the latest first, of one tunnel or of
// all if it is 0: at most limit.
func (h *History) lastEnded(r *ring[ended], of uint64, limit int) (all []api.Ended) {
	h.mu.Lock()
	end := r.added
	h.mu.Unlock()
	some := make([]seen, 0, blockSize)
	for len(all) < limit {
		h.mu.Lock()
		items, errs, start := r.before(end)
		some = some[:0]
		for i := len(items) - 1; i >= 0; i-- {
			s := seen{ended: items[i], of: h.tunnels.all[items[i].tunnel].tunnel}
			if errs != nil {
				s.err = errs[i]
			}
			some = append(some, s)
		}
		texts := h.words.texts
		h.mu.Unlock()
		if len(items) == 0 {
			return all
		}
		end = start
		now := time.Now()
		for i := range some {
			if len(all) < limit && (of == 0 || some[i].of.id == of) {
				all = append(all, some[i].api(texts, now.Add(some[i].at-now.Sub(h.start))))
			}
		}
	}
	return all
}

func (s *seen) api(texts []string, at time.Time) api.Ended {
	return api.Ended{
		At: at.UTC(), Tunnel: api.TunnelID(s.of.id), Port: s.of.port, Identity: s.of.identity, Service: s.of.service, Name: s.of.name,
		Address: s.user.String(), Joined: s.joined,
		WaitedSeconds: s.waited.Seconds(), DurationSeconds: s.duration.Seconds(), Received: s.received, Sent: s.sent,
		EndedBy: texts[s.endedBy], How: texts[s.how], Reason: texts[s.reason], Limit: observe.Identifier(texts[s.limit]),
		Error: errorText(s.err),
	}
}
