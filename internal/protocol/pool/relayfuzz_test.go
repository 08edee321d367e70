package pool_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
)

// mostSteps is fewer than the connections that one pool keeps.
const mostSteps = 250

// Connections come with the right id and with wrong ones, users come, leave and
// end, and time passes: each connection has one user at most, users are served
// in their order, the pool ends when it has been without a connection for a
// minute and not before, and no user waits forever.
func FuzzRelay(f *testing.F) {
	for _, seed := range []string{
		"", "\x01\x01\x00\x00", "\x01\x00\x01\x01", "\x01\x02\x03\xf4", "\x01\x02\xf4\x00", "\x00\x00\x05\x01", "\x01\x01\x13\x00\x00",
		"\x01\x12\xe4\xf4\x00", "\x06\x00\x01",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, steps []byte) {
		synctest.Test(t, func(t *testing.T) {
			p := newMemoryPool(t)
			m := &model{T: t, memoryPool: p, since: time.Now()}
			m.idle = append(m.idle, nil) // the first one, whose other end the relay has
			for _, step := range steps[:min(len(steps), mostSteps)] {
				m.step(step&0xf, int(step>>4))
				synctest.Wait()
				m.check()
			}
			m.end()
		})
	})
}

// model is what a pool has to hold.
type model struct {
	*testing.T
	*memoryPool
	over    bool
	since   time.Time   // since when it has had no connection, if it has none
	idle    []conn.Conn // the newest is last; nil is the one that said new
	active  []conn.Conn
	waiting []*protocoltest.User
	users   []*protocoltest.User
}

func (m *model) step(what byte, arg int) {
	switch what {
	case 0:
		m.add()
	case 1:
		m.userComes()
	case 2:
		if n := len(m.active); n > 0 {
			m.userEnds(arg % n)
		}
	case 3:
		if n := len(m.waiting); n > 0 {
			u := m.waiting[arg%n]
			u.Leave()
			m.waiting = append(m.waiting[:arg%n:arg%n], m.waiting[arg%n+1:]...)
		}
	case 4:
		pass(time.Duration(arg) * 5 * time.Second)
		if !m.over && len(m.idle)+len(m.active) == 0 && time.Since(m.since) >= linger {
			m.ended()
		}
	case 5:
		m.refused("AAAAAAAAAAAAAAAAAAAAAAAAAA")
	case 6:
		_ = m.tunnel.Close()
		m.ended()
	}
}

// add adds a connection, for the user who has waited longest.
func (m *model) add() {
	if m.over {
		m.refused(m.id)
		return
	}
	conn, _ := conntest.Memory()
	if err := m.relay.Claim(conn, "", m.id); err != nil {
		m.Fatalf("a connection is refused: %v", err)
	}
	if len(m.waiting) == 0 {
		m.idle = append(m.idle, conn)
		return
	}
	m.serve(m.waiting[0], conn)
	m.waiting = m.waiting[1:]
}

// serve expects that u gets c, or the first connection for nil.
func (m *model) serve(u *protocoltest.User, c conn.Conn) {
	u.Want = func(o protocoltest.Opened) bool {
		return o.Err == nil && o.Conn != nil && (c == nil || conn.Innermost(o.Conn) == c)
	}
	synctest.Wait()
	o, ok := u.Got()
	if !ok {
		m.Fatal("a user waits, and there is a connection")
	}
	m.active = append(m.active, o.Conn)
}

// refused adds a connection in vain.
func (m *model) refused(id string) {
	conn, client := conntest.Memory()
	if err := m.relay.Claim(conn, "", id); !errors.Is(err, protocol.ErrUnknownID) {
		m.Errorf("an id without a pool gives %v", err)
	}
	conntest.WantReset(m.T, client)
}

func (m *model) userComes() {
	u := protocoltest.NewUser(m.tunnel)
	m.users = append(m.users, u)
	n := len(m.idle)
	switch {
	case m.over:
		u.WantErr(protocol.ErrTunnelEnded)
	case n == 0:
		m.waiting = append(m.waiting, u)
	default:
		conn := m.idle[n-1]
		m.idle = m.idle[:n-1]
		m.serve(u, conn)
	}
	synctest.Wait() // in their order
}

func (m *model) userEnds(i int) {
	if i%2 == 0 {
		_ = m.active[i].Close()
	} else {
		_ = m.active[i].Reset()
		_ = m.active[i].Close() // which counts no second time
	}
	m.active = append(m.active[:i:i], m.active[i+1:]...)
	if len(m.active)+len(m.idle) == 0 {
		m.since = time.Now()
	}
}

func (m *model) ended() {
	m.over, m.idle = true, nil
	for _, u := range m.waiting {
		u.WantErr(protocol.ErrTunnelEnded)
	}
	m.waiting = nil
}

// check compares what users have got with what they should have.
func (m *model) check() {
	if (m.tunnel.Ended().Err() != nil) != m.over {
		m.Fatalf("has the pool ended? %v; should it have? %v", !m.over, m.over)
	}
	protocoltest.CheckUsers(m.T, m.users)
}

// end expects that nothing is left.
func (m *model) end() {
	_ = m.tunnel.Close()
	m.ended()
	synctest.Wait()
	m.check()
	m.refused(m.id)
	for len(m.active) > 0 {
		m.userEnds(0)
	}
	for _, u := range m.users {
		u.Leave()
	}
}
