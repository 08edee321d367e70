package join

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/eventloop"
)

// That a peer has vanished is noticed by keep-alive, but only while nothing is
// on its way to it. Otherwise the kernel sends that again, with longer and longer
// pauses, and gives up late, on most systems after a quarter of an hour; and
// TCP_USER_TIMEOUT would end the connection of a peer that merely does not read,
// too. So the kernel is asked what it knows. A peer that is there answers each
// attempt, even with a closed window.
const (
	// attempts is how often the kernel must have tried meanwhile. Kernels before
	// Linux 6.15 probe a closed window as rarely as every two minutes, and then
	// half a minute of silence says nothing.
	attempts = 3
	// portion is how many sockets are looked at in one turn of the event loop,
	// at a microsecond or less each.
	portion = 64
)

// underWay holds the sockets of a loop's joins to which something was written
// that the peer may not have acknowledged yet. Its own methods may be called
// concurrently; Ready is the loop's.
type underWay struct {
	loop    *eventloop.Loop
	periods periods
	round   []*end // still to be looked at; of the loop's goroutine

	mu    sync.Mutex // guards what follows; taken after the lock of a join
	ends  []*end
	timer *time.Timer // runs while there are ends, or nil
	ended bool
}

func newUnderWay(l *eventloop.Loop, p periods) *underWay {
	return &underWay{loop: l, periods: p}
}

// wrote is called when something was written to e, with the join's lock held.
func (e *end) wrote() {
	if e.fd >= 0 && !e.underWay {
		e.underWay = true
		e.join.loop.underWay.add(e)
	}
}

func (u *underWay) add(e *end) {
	u.mu.Lock()
	defer u.mu.Unlock()
	e.place = int32(len(u.ends))
	u.ends = append(u.ends, e)
	if u.timer == nil {
		u.start()
	}
}

func (u *underWay) remove(e *end) {
	u.mu.Lock()
	defer u.mu.Unlock()
	last := len(u.ends) - 1
	u.ends[e.place] = u.ends[last]
	u.ends[e.place].place = e.place
	u.ends[last] = nil
	u.ends = u.ends[:last]
}

// start is called with mu held.
func (u *underWay) start() {
	u.timer = nil
	if len(u.ends) > 0 && !u.ended {
		u.timer = time.AfterFunc(u.periods.lookEvery, func() { u.loop.Post(u) })
	}
}

// stop ends the looking.
func (u *underWay) stop() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = true
	if u.timer != nil {
		u.timer.Stop()
	}
}

// Ready looks at all sockets, a portion in each turn.
func (u *underWay) Ready(events eventloop.Events) (again bool) {
	u.mu.Lock()
	if events == eventloop.Posted {
		u.round = append([]*end(nil), u.ends...)
	}
	u.mu.Unlock()
	for range min(portion, len(u.round)) {
		u.round[0].look(u.periods.silence)
		u.round = u.round[1:]
	}
	if len(u.round) > 0 {
		return true
	}
	u.round = nil
	u.mu.Lock()
	defer u.mu.Unlock()
	u.start()
	return false
}

// look asks the kernel what has become of what was written to e.
func (e *end) look(silence time.Duration) {
	j := e.join
	j.mu.Lock()
	defer j.leave()
	if j.closing || !e.underWay {
		return
	}
	switch e.peer.look(e.fd, silence) {
	case atRest:
		e.rest()
	case vanished:
		j.lost(e, ErrDead)
	}
	j.closeIfOver() // if this was what it waited for
}

// peer is what is known, from look to look, of one to whom something is under way.
type peer struct {
	suspect bool // it was silent when last looked at
	patient bool // the kernel does not give up what is under way
}

// outlook is what a look has found.
type outlook uint8

const (
	atRest   outlook = iota // nothing is under way
	onItsWay                // something is, and has to be looked at again
	vanished
)

// look asks the kernel what has become of what was written to a socket.
func (p *peer) look(fd int, silence time.Duration) outlook {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	switch {
	case err != nil, nothingUnderWay(info):
		p.leaveToKernel(fd)
		return atRest
	case !silent(info, silence):
		p.suspect = false
		p.leaveToUs(fd)
	case !p.suspect:
		p.suspect = true
	default:
		return vanished
	}
	return onItsWay
}

// never is longer than any peer takes, and than the kernel is to wait for one.
const never = 7 * 24 * time.Hour

// leaveToUs has the kernel not give up what is under way. Over a way that loses
// much it would after some 40 s (TCP_RTO_MAX_MS), which it counts from the first
// loss on, though bytes have moved since. It is done at the first look only: most
// of what is written has arrived by then.
func (p *peer) leaveToUs(fd int) {
	if !p.patient {
		p.patient = true
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(never/time.Millisecond)) // fails on a dead socket
	}
}

// leaveToKernel ends the looking: with a long timeout the kernel would take a
// silent peer for living, and keep what was closed.
func (p *peer) leaveToKernel(fd int) {
	if p.patient {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 0) // as above
	}
	*p = peer{}
}

// rest ends the looking at e.
func (e *end) rest() {
	e.peer.leaveToKernel(e.fd)
	e.underWay = false
	e.join.loop.underWay.remove(e)
}

// nothingUnderWay tells whether all has been acknowledged, FIN included, or
// nothing will be any more.
func nothingUnderWay(info *unix.TCPInfo) bool {
	return info.State == tcpClose || info.Unacked == 0 && info.Notsent_bytes == 0
}

// silent tells whether a peer, to which something is under way, has left the
// kernel's attempts unanswered for the given time. Every segment from it is a
// sign of life, as each says how far it has come; the kernel takes note of some
// as data and of others as acknowledgements.
func silent(info *unix.TCPInfo, limit time.Duration) bool {
	heard := time.Duration(min(info.Last_ack_recv, info.Last_data_recv)) * time.Millisecond
	tried := int(info.Retransmits) + int(info.Probes)
	return heard >= limit && tried >= attempts
}
