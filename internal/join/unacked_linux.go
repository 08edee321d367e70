package join

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/eventloop"
)

// Keep-alive notices that a peer has vanished, but only while no data to it is
// unacknowledged. Otherwise the kernel retransmits, with longer and longer pauses, and
// gives up late, on most systems after a quarter of an hour. TCP_USER_TIMEOUT would also
// end the connection of a peer that merely does not read. So the kernel is asked what it
// knows: a peer that is there answers each attempt, even with a closed window.
const (
	// minAttempts is how often the kernel must have tried meanwhile. Kernels before
	// Linux 6.15 probe a closed window as rarely as every two minutes, and then
	// half a minute of silence says nothing.
	minAttempts = 3
	// checkBatch is how many sockets are checked in one turn of the event loop,
	// at a microsecond or less each.
	checkBatch = 64
)

// checked is what is checked: the socket of an end or of a readable, or a flow that waits
// for its receiver.
type checked interface {
	// check is called once in each interval.
	check(silence time.Duration)
	// placed returns where the place in the list is kept, whose lock guards it.
	placed() *int32
}

// checkList holds what has to be checked at intervals, and checks it. One of a loop's lists
// has the sockets that may have unacknowledged data. The first check also settles a
// connection: see conn.Settler. So those are in that list, too, that wait to be joined and
// are not settled. The other list has the flows that wait for their receivers: see crowd. The
// methods of a list may be called concurrently; the loop calls Ready.
type checkList struct {
	loop    *eventloop.Loop
	periods periods
	round   []checked // still to be checked; only for the loop's goroutine

	mu    sync.Mutex // guards what follows; taken after the lock of a join
	ends  []checked
	timer *time.Timer // runs while there are ends, or nil
	ended bool
}

func newCheckList(l *eventloop.Loop, p periods) *checkList {
	return &checkList{loop: l, periods: p}
}

// markUnacked is called, with the join's lock held, after a write to e.
func (e *end) markUnacked() {
	if e.fd >= 0 && !e.unacked {
		e.unacked = true
		e.join.loop.unacked.add(e)
	}
}

func (u *checkList) add(e checked) {
	u.mu.Lock()
	defer u.mu.Unlock()
	*e.placed() = int32(len(u.ends))
	u.ends = append(u.ends, e)
	if u.timer == nil {
		u.startLocked()
	}
}

func (u *checkList) remove(e checked) {
	u.mu.Lock()
	defer u.mu.Unlock()
	place, last := *e.placed(), len(u.ends)-1
	u.ends[place] = u.ends[last]
	*u.ends[place].placed() = place
	u.ends[last] = nil
	u.ends = u.ends[:last]
}

func (u *checkList) startLocked() {
	u.timer = nil
	if len(u.ends) > 0 && !u.ended {
		u.timer = time.AfterFunc(u.periods.checkInterval, func() { u.loop.Post(u) })
	}
}

// stop ends the checks.
func (u *checkList) stop() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = true
	if u.timer != nil {
		u.timer.Stop()
	}
}

// Ready checks all sockets, a batch in each turn.
func (u *checkList) Ready(events eventloop.Events) (again bool) {
	u.mu.Lock()
	if events == eventloop.Posted {
		u.round = append([]checked(nil), u.ends...)
	}
	u.mu.Unlock()
	for range min(checkBatch, len(u.round)) {
		u.round[0].check(u.periods.silence)
		u.round = u.round[1:]
	}
	if len(u.round) > 0 {
		return true
	}
	u.round = nil
	u.mu.Lock()
	defer u.mu.Unlock()
	u.startLocked()
	return false
}

func (e *end) placed() *int32 { return &e.place }

// check asks the kernel what has become of what was written to e.
func (e *end) check(silence time.Duration) {
	j := e.join
	j.mu.Lock()
	defer j.unlock()
	if j.closing || !e.unacked {
		return
	}
	conn.Settle(e.conn, e.fd)
	switch e.peer.check(e.fd, silence) {
	case acknowledged:
		e.clearUnacked()
	case peerDead:
		j.lost(e, ErrDead)
	}
	j.closeIfOver() // if this was what it waited for
}

// clearUnacked ends the checks of e.
func (e *end) clearUnacked() {
	e.peer.resetUserTimeout(e.fd)
	e.unacked = false
	e.join.loop.unacked.remove(e)
}

// peer is what is known, from check to check, of a peer that has data to acknowledge.
type peer struct {
	suspect     bool // it was silent at the last check
	userTimeout bool // TCP_USER_TIMEOUT is set
}

// delivery is the result of a check.
type delivery uint8

const (
	acknowledged delivery = iota
	pending               // some data is not acknowledged, and has to be checked again
	peerDead
)

// check asks the kernel what has become of what was written to a socket.
func (p *peer) check(fd int, silence time.Duration) delivery {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	switch {
	case err != nil, allAcked(info):
		p.resetUserTimeout(fd)
		return acknowledged
	case !silent(info, silence):
		p.suspect = false
		p.setUserTimeout(fd)
	case !p.suspect:
		p.suspect = true
	default:
		return peerDead
	}
	return pending
}

// longUserTimeout is longer than any peer takes, and than the kernel is to wait for one.
const longUserTimeout = 7 * 24 * time.Hour

// setUserTimeout has the kernel not give up unacknowledged data. Over a path that loses
// much it would after some 40 s (TCP_RTO_MAX_MS), which it counts from the first
// loss on, though bytes have moved since. The first check does it, and not the write:
// most of what is written has been acknowledged by then.
func (p *peer) setUserTimeout(fd int) {
	if !p.userTimeout {
		p.userTimeout = true
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(longUserTimeout/time.Millisecond)) // fails on a dead socket
	}
}

// resetUserTimeout ends the checks: with a long timeout the kernel would take a
// silent peer for living, and keep a socket that was closed.
func (p *peer) resetUserTimeout(fd int) {
	if p.userTimeout {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 0) // as above
	}
	*p = peer{}
}

// allAcked reports whether all has been acknowledged, FIN included, or nothing will be
// any more.
func allAcked(info *unix.TCPInfo) bool {
	return info.State == tcpClose || info.Unacked == 0 && info.Notsent_bytes == 0
}

// silent reports whether a peer that has data to acknowledge has left the kernel's
// attempts unanswered for the given time. Every segment from it is a sign of life, as
// each says how far it has come; the kernel takes note of some as data and of others as
// acknowledgements.
func silent(info *unix.TCPInfo, limit time.Duration) bool {
	heard := time.Duration(min(info.Last_ack_recv, info.Last_data_recv)) * time.Millisecond
	tried := int(info.Retransmits) + int(info.Probes)
	return heard >= limit && tried >= minAttempts
}
