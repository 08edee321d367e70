package node

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/proxyproto"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/upgrade"
	"github.com/seed96252745/relay/internal/wire"
)

// elder is a process that was the relay before this one, as seen from here.
type elder struct {
	pid    int
	link   *upgrade.Link
	server *server.Server // that this one talks to; set by listen

	paused  chan struct{} // gets one when listen has stopped because of pause
	resumed chan struct{} // gets one when it may go on
	gone    chan struct{} // closed when listen has returned

	mu    sync.Mutex // guards what follows
	seq   uint64
	asked map[uint64]chan bool // nil once nobody is asked any more
}

var _ server.Predecessor = (*elder)(nil)

func newElder(pid int, link *upgrade.Link) *elder {
	return &elder{
		pid: pid, link: link, paused: make(chan struct{}), resumed: make(chan struct{}), gone: make(chan struct{}),
		seq:   rand.Uint64(), //nolint:gosec // answers to an earlier process must not be taken for ours, and nobody else answers
		asked: make(map[uint64]chan bool),
	}
}

// errElder is why a predecessor cannot be asked.
var errElder = errors.New("the process that was the relay before has ended, or does not answer")

// askWait is how long an answer may take: mostly it takes a tenth of a millisecond.
const askWait = 5 * time.Second

// Served is server.Predecessor's.
func (e *elder) Served(port int, instance string) {
	_ = e.link.Send(upgrade.Message{Kind: upgrade.Served, Port: port, Instance: instance}, -1) // fails once it is gone
}

// Knows is server.Predecessor's.
func (e *elder) Knows(verb string, key wire.Key) (bool, error) {
	answer := make(chan bool, 1)
	e.mu.Lock()
	if e.asked == nil {
		e.mu.Unlock()
		return false, errElder
	}
	e.seq++
	seq := e.seq
	e.asked[seq] = answer
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.asked, seq)
	}()
	if err := e.link.Send(upgrade.Message{Kind: upgrade.Ask, Seq: seq, Verb: verb, Key: key[:]}, -1); err != nil {
		return false, errElder
	}
	timer := time.NewTimer(askWait)
	defer timer.Stop()
	select {
	case yes, ok := <-answer:
		if !ok {
			return false, errElder
		}
		return yes, nil
	case <-timer.C:
		return false, errElder
	}
}

// Claim is server.Predecessor's. What is encrypted is joined here with a connection that is
// not.
func (e *elder) Claim(verb, owner, id string, c conn.Conn) error {
	m := upgrade.Message{Kind: upgrade.Claim, Verb: verb, Owner: owner, ID: id}
	m.Remote, _ = named(c)
	fd, ok := transport.Give(c)
	if !ok {
		m.Remote = conn.AddrPort(c.RemoteAddr())
		near, far, err := transport.Pair()
		if err != nil {
			_ = c.Reset()
			return err
		}
		if fd, ok = transport.Give(far); !ok {
			_, _, _ = c.Reset(), near.Reset(), far.Reset()
			return errElder
		}
		e.server.Bridge(c, near)
	}
	defer upgrade.CloseFD(fd)
	return e.link.Send(m, fd)
}

// named returns the addresses of a connection that a load balancer has named.
func named(c conn.Conn) (remote, local netip.AddrPort) {
	if !conn.Named(c) {
		return remote, local
	}
	return conn.AddrPort(c.RemoteAddr()), conn.AddrPort(c.LocalAddr())
}

// listen takes what the predecessor says, until its end, or until stop.
func (e *elder) listen(s *server.Server) {
	defer close(e.gone)
	for {
		m, fd, err := e.link.Receive()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			e.paused <- struct{}{}
			if _, goes := <-e.resumed; !goes {
				return
			}
			continue
		}
		if errors.Is(err, upgrade.ErrLost) {
			continue // it costs one user, or one relay client
		}
		if err != nil {
			e.forgetAsked()
			s.Forget(e)
			_ = e.link.Close()
			return
		}
		e.take(s, m, fd)
	}
}

// take takes one message.
func (e *elder) take(s *server.Server, m upgrade.Message, fd int) {
	switch m.Kind {
	case upgrade.Left:
		s.PortLeft(e, m.Port, m.Owner)
	case upgrade.Known:
		e.mu.Lock()
		answer := e.asked[m.Seq]
		e.mu.Unlock()
		if answer != nil {
			select {
			case answer <- m.Yes:
			default: // it has answered already
			}
		}
	case upgrade.User:
		if c := adopt(fd, netip.AddrPort{}); c != nil {
			if m.Remote.IsValid() {
				c = proxyproto.NewConn(c, net.TCPAddrFromAddrPort(m.Remote), net.TCPAddrFromAddrPort(m.Local))
			}
			s.TakeUser(m.Port, c, m.Read)
		}
	case upgrade.Control:
		if c := adopt(fd, m.Remote); c != nil {
			s.TakeControl(c, m.Read)
		}
	default:
		upgrade.CloseFD(fd)
	}
}

// adopt returns the connection of a descriptor that has come, or nil if it is dead.
func adopt(fd int, remote netip.AddrPort) conn.Conn {
	var peer *net.TCPAddr
	if remote.IsValid() {
		peer = net.TCPAddrFromAddrPort(remote)
	}
	c, err := transport.Adopt(fd, peer)
	if err != nil {
		return nil
	}
	return c
}

// pause has listen stop, with nothing lost. It reports whether the predecessor lives.
func (e *elder) pause() bool {
	_ = e.link.SetReceiveDeadline(time.Unix(1, 0)) // fails only once it is closed
	select {
	case <-e.paused:
		_ = e.link.SetReceiveDeadline(time.Time{})
		return true
	case <-e.gone:
		return false
	}
}

// resume ends pause.
func (e *elder) resume() { e.resumed <- struct{}{} }

// leave ends the link here, after pause: another process has it.
func (e *elder) leave() {
	close(e.resumed)
	<-e.gone
	e.forgetAsked()
	_ = e.link.Close()
}

// forgetAsked has nobody wait for an answer any more.
func (e *elder) forgetAsked() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, answer := range e.asked {
		close(answer)
	}
	e.asked = nil
}

// elders are the predecessors of this process. The zero value has none.
type elders struct {
	mu  sync.Mutex
	all []*elder
}

// living returns those that live, and forgets others.
func (e *elders) living() []*elder {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = slices.DeleteFunc(e.all, func(one *elder) bool {
		select {
		case <-one.gone:
			return true
		default:
			return false
		}
	})
	return slices.Clone(e.all)
}
