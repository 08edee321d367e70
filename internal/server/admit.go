package server

import (
	"context"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
)

// limits is what bounds who comes in; package limit says why and how.
type limits struct {
	handshakes  *admission.Gate
	headers     *admission.Gate // of load balancers, before them
	penalties   *admission.Penalties
	tunnels     *admission.Sources
	networks    *admission.Sources // of tunnels likewise
	identities  *census
	keptLeases  *admission.Rates
	descriptors *admission.DescriptorBudget
	reserve     *admission.Reserve
	lines       *admission.Lines
	tunnelLines *admission.Lines
	excessLines *admission.Lines
	limitLines  *admission.Lines
	shutLines   *admission.Lines // of who is shut out: nothing else may use them up
	tokens      *admission.Repeats
	stalls      stalls
	told        *admission.Rates // of who is shut out
}

// reserved descriptors are for accepting when there are none left: one is enough
// to turn users away, and each further one is a relay client that gets in.
const reserved = 16

// tunnelLines is how many times as many lines there may be about a source's tunnels:
// ten that come and go ten times a minute are a trouble that an operator wants to see.
const tunnelLines = 20

func newLimits(l admission.Limits) limits {
	return limits{
		handshakes:  admission.NewGate(l.Handshakes, l.HandshakesPerSource),
		headers:     admission.NewGate(l.Handshakes, l.Handshakes),
		penalties:   admission.NewPenalties(l.WrongClaims),
		tunnels:     admission.NewSources(l.TunnelsPerSource),
		networks:    admission.NewSources(l.TunnelsPerNetwork),
		identities:  newCensus(),
		keptLeases:  admission.NewRates(keptLeasesPerSecond, keptLeasesAtOnce, rateSources),
		descriptors: admission.NewDescriptorBudget(l.Descriptors),
		reserve:     admission.NewReserve(reserved),
		lines:       admission.NewLines(l.LogLines),
		tunnelLines: admission.NewLines(tunnelLines * min(l.LogLines, math.MaxInt/tunnelLines)),
		excessLines: admission.NewLines(l.LogLines),
		limitLines:  admission.NewLines(l.LogLines),
		shutLines:   admission.NewLines(l.LogLines),
		tokens:      admission.NewRepeats(l.RefusalDelay),
		stalls:      newStalls(),
		told:        admission.NewRates(toldPerSecond, toldAtOnce, rateSources),
	}
}

// enter lets a connection in that has yet to say what it wants, or resets it and
// gives nil. One whose source is shut out is to be turned away, unless a tunnel expects
// it: a stranger behind the same address must not cut that tunnel off.
func (s *Server) enter(conn conn.Conn) (pass *admission.Pass, shutOut bool) {
	source := s.sourceOf(conn)
	if source.StandsForMany() {
		pass, reason := s.admission.handshakes.EnterAlone(func() { _ = conn.Reset() })
		s.crowded(conn, source, reason)
		return pass, false
	}
	expected := s.expected(source)
	shutOut = expected == 0 && s.admission.penalties.ShutOut(source) > 0
	if shutOut {
		s.counters.Add(admission.ShutOut)
		if !s.admission.told.Allow(source) {
			_ = conn.Reset()
			return nil, true
		}
	}
	pass, reason := s.admission.handshakes.Enter(source, expected, func() { _ = conn.Reset() })
	s.crowded(conn, source, reason)
	if pass == nil {
		_ = conn.Reset()
	}
	return pass, shutOut
}

// crowded tells of the limit that a connection has met which comes in, if there is one.
func (s *Server) crowded(conn conn.Conn, source admission.Source, reason admission.Kind) {
	if reason != 0 {
		s.counters.Add(reason)
		s.logWithin(s.admission.limitLines, source, slog.LevelWarn, "too many connections have not said yet what they want",
			"relayClient", inLog{conn.RemoteAddr()}, "limit", reason.String())
	}
}

// expected is how many connections the tunnels of a source expect.
func (s *Server) expected(source admission.Source) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range s.tunnels[source] {
		if e, ok := t.session.(protocol.Claimable); ok {
			n += e.ExpectedClaims()
		}
	}
	return n
}

// logAbout logs something that a source has caused, unless it has caused too much
// already.
func (s *Server) logAbout(source admission.Source, level slog.Level, message string, args ...any) {
	s.logWithin(s.admission.lines, source, level, message, args...)
}

// logWithin logs something that a source has caused, if lines allow it.
func (s *Server) logWithin(lines *admission.Lines, source admission.Source, level slog.Level, message string, args ...any) {
	if !s.log.Enabled(context.Background(), level) {
		return
	}
	leftOut, ok := lines.Allow(source)
	if !ok {
		s.counters.Add(admission.LogLines)
		return
	}
	if leftOut > 0 {
		args = append(args, "leftOutBefore", leftOut)
	}
	s.log.Log(context.Background(), level, message, args...)
}

// crowd bounds the users of one account by their sources.
type crowd struct {
	atOnce *admission.Sources
	rates  *admission.Rates
}

// rateSources is how many sources of users a tunnel keeps apart by their rate.
const rateSources = 1024

func newCrowd(l admission.Limits) crowd {
	burst := math.MaxInt
	if l.UsersPerSecond < math.MaxInt/2 {
		burst = 2 * l.UsersPerSecond
	}
	return crowd{
		atOnce: admission.NewSources(l.UsersPerSource),
		rates:  admission.NewRates(float64(l.UsersPerSecond), burst, rateSources),
	}
}

// userDescriptors is what a user takes: its connection, and the one to the relay
// client. A public port takes a listener and, mostly, a connection.
const (
	userDescriptors   = 2
	tunnelDescriptors = 2
)

// admit lets a user in, perhaps after a wait, or says which limit is in the way.
func (p *publicPort) admit(conn conn.Conn) (u *user, reason admission.Kind, ok bool) {
	addr, b, s := conn.RemoteAddr(), p.bounds.Load(), p.server
	u = &user{conn: conn, addr: addr, port: p, source: s.sourceAt(conn, addr), came: time.Now(), passed: b}
	switch {
	case !b.admits(addr):
		return u, admission.DeniedAddresses, false
	case p.account.users.users() >= b.most():
		return u, admission.UsersOfTunnel, false // as the tunnel would say
	}
	u.waits = admission.UsersPerSecondOfTunnel
	if u.wait, ok = b.take(u.source, mostHeldUp); !ok {
		return u, u.waits, false
	}
	reason = s.take(u)
	return u, reason, reason == 0
}

// take takes what a user does of what all tunnels share, or says what there is not
// enough of.
func (s *Server) take(u *user) (reason admission.Kind) {
	crowd := u.port.account.crowd
	switch {
	case !s.users.enter(s.config.Limits.Users):
		return admission.Users
	case !s.admission.descriptors.TakeForUser(userDescriptors):
		s.users.leave()
		return admission.Descriptors
	case u.source.StandsForMany():
		return 0
	}
	wait, ok := crowd.rates.Take(u.source, mostHeldUp)
	switch {
	case !ok:
		reason = admission.UsersPerSecond
	case !crowd.atOnce.Enter(u.source):
		reason = admission.UsersPerSource
	default:
		if wait > u.wait {
			u.wait, u.waits = wait, admission.UsersPerSecond
		}
		return 0
	}
	s.admission.descriptors.Give(userDescriptors)
	s.users.leave()
	return reason
}

// leave gives back what the user took.
func (u *user) leave() {
	s := u.port.server
	u.port.order.leave(u.source, u.turn)
	if !u.source.StandsForMany() {
		u.port.account.crowd.atOnce.Leave(u.source)
	}
	if u.in {
		s.accounts.leaves(u.port.account)
	}
	s.admission.descriptors.Give(userDescriptors)
	s.users.leave()
}

// number is how many there are of something.
type number struct{ atomic.Int64 }

// enter counts one more, unless there are most.
func (n *number) enter(most int) bool {
	for {
		is := n.Load()
		if is >= int64(most) {
			return false
		}
		if n.CompareAndSwap(is, is+1) {
			return true
		}
	}
}

func (n *number) leave() { n.Add(-1) }
