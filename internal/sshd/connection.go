package sshd

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/time/rate"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/front"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

const (
	// keepaliveInterval is how often the client has to show that it lives. None sends
	// anything by itself, so nothing else keeps a NAT's mapping, or finds a client that is
	// gone.
	keepaliveInterval = 15 * time.Second
	// keepalivePatience is for how long it may not answer.
	keepalivePatience = 3 * keepaliveInterval
	// maxForwards bounds the forwards that one connection has at a time.
	maxForwards = 64
	// maxOpening bounds the channels that the client has not answered, as yamux does.
	maxOpening = 256
	// maxTerminals bounds its sessions. People have one.
	maxTerminals = 4
	// endAfter is how long a client is left that was refused a forward: what it is told has
	// to arrive. It would stay connected for ever, and do nothing.
	endAfter = 2 * time.Second
)

// connection is an SSH client that was let in.
type connection struct {
	front   *Front
	arrival front.Arrival
	below   *watched
	ssh     *ssh.ServerConn
	who     *whois
	gone    chan struct{} // closed when the connection has ended
	opening chan struct{} // has one for each channel that the client has not answered
	running sync.WaitGroup
	users   atomic.Int64 // channels
	left    atomic.Bool  // the client has ended it for good
	// draining is that it ends with its last user.
	draining atomic.Bool

	mu        sync.Mutex // guards what follows
	forwards  map[forwardKey]*forward
	terminals map[*terminal]struct{}
	refusal   error       // of a forward
	alive     *time.Timer // of the next question
	timer     *time.Timer // of the end that follows a refusal, or nil
	idle      *time.Timer // of that of a connection without a forward, or nil
	ended     bool
	known     bool          // the handshake has ended
	asks      *rate.Limiter // for forwards
}

func newConnection(f *Front, a front.Arrival, below *watched, s *ssh.ServerConn, who *whois) *connection {
	return &connection{
		front: f, arrival: a, below: below, ssh: s, who: who, gone: make(chan struct{}),
		opening: make(chan struct{}, maxOpening), asks: rate.NewLimiter(1, maxForwards),
		forwards: make(map[forwardKey]*forward), terminals: make(map[*terminal]struct{}),
	}
}

// serve answers what the client asks for until its connection has ended, and then waits for all
// that runs for it.
func (c *connection) serve(channels <-chan ssh.NewChannel, requests <-chan *ssh.Request) {
	c.keepAlive()
	for channels != nil || requests != nil {
		select {
		case ch, ok := <-channels:
			if !ok {
				channels = nil
				continue
			}
			c.acceptChannel(ch)
		case r, ok := <-requests:
			if !ok {
				requests = nil
				continue
			}
			c.answer(r)
		}
	}
	close(c.gone)
	c.endForwards(c.reason())
	c.running.Wait()
}

// answer answers a global request: each that wants it, since several clients take silence for a
// dead relay.
func (c *connection) answer(r *ssh.Request) {
	switch r.Type {
	case "tcpip-forward":
		c.startForward(r)
	case "cancel-tcpip-forward":
		c.cancelForward(r)
	default:
		reply(r, false, nil)
	}
}

// reply answers a request that wants an answer.
func reply(r *ssh.Request, ok bool, payload []byte) {
	if r.WantReply {
		_ = r.Reply(ok, payload) // fails if the connection has ended
	}
}

func (c *connection) acceptChannel(ch ssh.NewChannel) {
	switch {
	case ch.ChannelType() != "session":
		_ = ch.Reject(ssh.UnknownChannelType, "this is a relay: it takes ssh -R, and nothing else")
	case !c.startTerminal(ch):
		_ = ch.Reject(ssh.ResourceShortage, "too many sessions")
	}
}

// keepAlive asks the client soon, and again and again, whether it lives, and ends the connection
// if it does not answer. An answer of either kind is one. Between two questions there is no
// goroutine, since most clients are idle.
func (c *connection) keepAlive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.alive = time.AfterFunc(keepaliveInterval, func() {
		if c.whileAlive(c.ask) {
			c.keepAlive()
		}
	})
}

// whileAlive calls f, and has the end of the connection wait for it. It reports false if the
// connection has ended.
func (c *connection) whileAlive(f func()) bool {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return false
	}
	c.running.Add(1)
	c.mu.Unlock()
	defer c.running.Done()
	f()
	return true
}

func (c *connection) ask() {
	dead := time.AfterFunc(keepalivePatience, c.end)
	defer dead.Stop()
	_, _, _ = c.ssh.SendRequest("keepalive@openssh.com", true, nil) // fails if it has ended
}

// identified ends the handshake with the first forward. It reports false if the connection was
// reset before that.
func (c *connection) identified() bool {
	c.mu.Lock()
	known := c.known
	c.known = true
	c.mu.Unlock()
	return known || c.arrival.Identified()
}

// endIfIdle ends a connection that has neither a forward nor a user, unless one of them comes
// soon.
func (c *connection) endIfIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle == nil && !c.ended {
		c.idle = time.AfterFunc(loginTime, c.checkIdle)
	}
}

func (c *connection) checkIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended || len(c.forwards) > 0:
		c.idle = nil
	case c.users.Load() > 0:
		c.idle.Reset(loginTime)
	default:
		c.end()
	}
}

// end ends the connection, so that a program which watches over the client starts it again: the
// end of TCP, and no message of SSH before it. Users are reset.
func (c *connection) end() { _ = c.below.Close() }

// refuse tells why a forward was refused, and ends the connection a moment later. If that may be
// otherwise soon, the client is to be started again.
func (c *connection) refuse(err error) {
	refusal := new(wire.Refusal)
	text := err.Error()
	if errors.As(err, &refusal) {
		text = refusal.Text
	}
	c.mu.Lock()
	if c.refusal == nil {
		c.refusal = errors.New(text)
	}
	c.mu.Unlock()
	passes := slices.Contains([]string{wire.CodeLimit, wire.CodeDraining, wire.CodeNoPort, wire.CodeNotOpen, wire.CodePortTaken}, refusal.Code)
	for _, t := range c.people() {
		t.tell("refused: " + printable(text))
	}
	c.endAfter(endAfter)
	if passes {
		return
	}
	time.AfterFunc(endAfter/2, func() {
		c.whileAlive(func() {
			for _, t := range c.people() { // who may have come since
				t.finish(1)
			}
		})
	})
}

// people returns the terminals.
func (c *connection) people() []*terminal {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.terminals))
}

// endWhenIdle ends the connection as soon as it has no user.
func (c *connection) endWhenIdle() {
	c.draining.Store(true)
	if c.users.Load() == 0 {
		c.end()
	}
}

// userGone counts a channel that is closed.
func (c *connection) userGone() {
	if c.users.Add(-1) == 0 && c.draining.Load() {
		c.end()
	}
}

// endAfter ends the connection after a pause.
func (c *connection) endAfter(pause time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	c.timer = time.AfterFunc(pause, c.end)
}

// reason returns why the connection has ended. The library has no type for what a client says
// with DISCONNECT, as OpenSSH does on Ctrl-C and SIGTERM with the reason 11, by application (RFC
// 4253, section 11.1).
func (c *connection) reason() error {
	err := c.ssh.Wait()
	if c.left.Load() || err != nil && strings.HasPrefix(err.Error(), "ssh: disconnect, reason 11") {
		return protocol.ErrLeft
	}
	return errConnectionEnded
}

func (c *connection) endForwards(reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	for _, timer := range []*time.Timer{c.alive, c.timer, c.idle} {
		if timer != nil {
			timer.Stop()
		}
	}
	for _, f := range c.forwards {
		f.end(reason)
		c.front.holders.release(f.lease, c)
		c.front.clients.stop(f)
	}
}

var errConnectionEnded = errors.New("the SSH connection has ended")

// lost reports whether the connection has failed, so that what looks like the end of a channel
// is none. The library tells the readers of channels before it tells of a message with which
// the client has ended the connection: within 0.74 ms where it was measured.
func (c *connection) lost() bool {
	if c.below.lost.Load() {
		return true
	}
	timer := time.NewTimer(lossGrace)
	defer timer.Stop()
	select {
	case <-c.gone:
		return true
	case <-timer.C:
		return c.below.lost.Load()
	}
}

// lossGrace is for how long an end of a channel waits for that of the connection.
const lossGrace = 5 * time.Millisecond

// takeLease returns by what the lease of a forward is known, or "" if it has none: by the key of
// the client, or the owner of its token, and by what it asks for. The same asked for by another
// client with the same key, which is there, or twice by one, is another lease. A space keeps it
// from being one that a relay client can ask for by itself.
func (c *connection) takeLease(k forwardKey) string {
	if c.who.key == "" && c.who.Name == "" {
		return ""
	}
	for n := 0; ; n++ {
		lease := fmt.Sprintf("ssh %s %s %q:%d #%d", c.who.Name, c.who.key, k.Bind, k.Port, n)
		holder := c.front.holders.take(lease, c, nil)
		if holder != nil && holder != c && !holder.lives() {
			holder = c.front.holders.take(lease, c, holder)
		}
		if holder == nil {
			return lease
		}
	}
}

// livesWithin is how long a client that holds a lease has to show that it lives.
const livesWithin = 2 * time.Second

// lives reports whether the client answers.
func (c *connection) lives() bool {
	answered := make(chan error, 1)
	c.mu.Lock()
	ended := c.ended
	if !ended {
		c.running.Go(func() {
			_, _, err := c.ssh.SendRequest("keepalive@openssh.com", true, nil)
			answered <- err
		})
	}
	c.mu.Unlock()
	if ended {
		return false
	}
	timer := time.NewTimer(livesWithin)
	defer timer.Stop()
	select {
	case err := <-answered:
		return err == nil
	case <-timer.C:
		return false
	}
}

// address returns where users reach a public port.
func (c *connection) address(port int) string {
	return joinHostPort(c.host(), strconv.Itoa(port))
}

// host returns where users, and clients, reach the relay.
func (c *connection) host() string {
	return cmp.Or(c.front.config.Host(), conn.AddrPort(c.below.LocalAddr()).Addr().String())
}
