package endpoint_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/proxyproto"
)

// suspected is a group of two whose members answer probes.
type suspected struct {
	*grouped
	one, two *probed
}

// withSuspected has a group of two, of which both have been probed, and are up.
func withSuspected(t *testing.T, f func(*suspected)) {
	t.Helper()
	withGroupOf(t, endpoint.Config{Waiting: 1, Probe: interval}, func(g *grouped) {
		s := &suspected{grouped: g, one: newProbed(), two: newProbed()}
		for _, session := range []*probed{s.two, s.one} { // which is the order in which they are given users
			g.mustJoin(fmt.Sprintf("%p", session), session, func(c *endpoint.Client) { c.Proxy, c.Probe = true, true })
			s.answer(session, "ok")
		}
		f(s)
	})
}

// next returns the next connection of a member, whose header has been read, and whether it is
// a probe.
func (s *suspected) next(session *probed) (c *conntest.MemoryConn, probe bool) {
	s.Helper()
	select {
	case c = <-session.asked:
	case <-time.After(time.Hour):
		s.Fatal("nobody is connected")
	}
	_, _, details, err := proxyproto.ReadDetails(c)
	if err != nil {
		s.Fatal(err)
	}
	return c, details.Probe
}

// answer answers the next probe of a member.
func (s *suspected) answer(session *probed, line string) {
	s.Helper()
	c, probe := s.next(session)
	if !probe {
		s.Fatal("a user comes, and no probe")
	}
	p := probing{port: s.port}
	p.say(c, line)
}

// fail has a user come who is given to the first member, which resets it.
func (s *suspected) fail() {
	s.Helper()
	u := s.come()
	far, probe := s.next(s.one)
	if probe {
		s.Fatal("a probe comes, and no user")
	}
	_ = far.Reset()
	conntest.WantReset(s.T, u)
	synctest.Wait()
}

// A member whose server is gone resets each user at once, and so has the fewest. The first
// one that is reset has it probed, and further ones go to the other member.
func TestMemberThatResetsUsersIsProbed(t *testing.T) {
	withSuspected(t, func(s *suspected) {
		<-time.After(interval / 2)
		since := time.Now()
		held := s.come() // by the second one
		if _, probe := s.next(s.two); probe {
			s.Fatal("a probe comes, and no user")
		}
		s.fail()
		s.answer(s.one, "failed refused")
		if waited := time.Since(since); waited > time.Second {
			s.Errorf("it is probed after %v", waited)
		}
		users := []*conntest.MemoryConn{held}
		for range 3 {
			users = append(users, s.come())
			if _, probe := s.next(s.two); probe {
				s.Error("the other one is probed")
			}
		}
		s.leave(users...)
	})
}

// A server that resets users and works is probed at most once a second.
func TestMemberIsProbedSeldom(t *testing.T) {
	withSuspected(t, func(s *suspected) {
		held := s.come()
		_, _ = s.next(s.two)
		since := time.Now()
		for n := range 3 {
			s.fail()
			s.fail()
			s.answer(s.one, "ok")
			if waited := time.Since(since); waited < time.Duration(n+1)*time.Second {
				s.Errorf("it is probed again after %v", waited)
			}
		}
		select {
		case <-s.one.asked:
			s.Error("it is probed again, though nobody was reset since")
		case <-time.After(interval / 2):
		}
		s.leave(held)
	})
}
