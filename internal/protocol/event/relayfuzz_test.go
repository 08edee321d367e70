package event_test

import (
	"bufio"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/event"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
	"github.com/seed96252745/relay/internal/wire"
)

// mostSteps is fewer than the ids that a tunnel queues, which a relay never
// reaches: it lets fewer users wait.
const mostSteps = 250

// Users come and leave, relay clients claim what they may and what they may not,
// say what they should not, and go: each id has one user, who is given one
// connection at most, and no user waits forever.
func FuzzRelay(f *testing.F) {
	for _, seed := range []string{
		"", "\x00\x02", "\x00\x00\x02\x12\x02\x12", "\x00\x04\x02", "\x00\x00\x06\x02", "\x00\x07\x02", "\x05\x15\x25\xf5\xf5\xf5\xf5\xf5\x00",
		"\x00\x03\x01\x13\x08\xf5\x18\xf5", "\x00\x00\x00\x17\x00", "\x00\x00\x27\x02\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, steps []byte) {
		synctest.Test(t, func(t *testing.T) {
			m := newModel(t)
			for _, step := range steps[:min(len(steps), mostSteps)] {
				m.step(step&0xf, int(step>>4))
				synctest.Wait()
				m.check()
			}
			m.end()
		})
	})
}

// model is a tunnel, and what the relay has to do with it.
type model struct {
	*testing.T
	relay   *event.Relay
	tunnel  protocol.Session
	control *conntest.MemoryConn
	input   int // bytes sent in this minute
	over    bool
	users   []*protocoltest.User

	mu  sync.Mutex // guards what follows
	ids []string   // in the order of their users
}

func newModel(t *testing.T) *model {
	near, far := conntest.Memory()
	m := &model{T: t, relay: event.NewRelay(event.Config{}), control: far}
	port := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(far)
		lines.Scan()
		port <- lines.Text()
		for lines.Scan() {
			m.mu.Lock()
			m.ids = append(m.ids, lines.Text())
			m.mu.Unlock()
		}
	}()
	var err error
	if m.tunnel, err = m.relay.Register(near, protocol.Grant{Answer: wire.Answer{Port: 20001}}); err != nil {
		t.Fatal(err)
	}
	if got := <-port; got != "20001" {
		t.Fatalf("the reply is %q", got)
	}
	return m
}

func (m *model) step(what byte, arg int) {
	switch what {
	case 0, 1:
		m.userComes()
	case 2, 3:
		m.claim(arg)
	case 4:
		m.refused("AAAAAAAAAAAAAAAAAAAAAAAAAA")
	case 5:
		m.say(arg * 100)
	case 6:
		if n := len(m.users); n > 0 {
			m.users[arg%n].Leave()
		}
	case 7:
		m.clientGoes(arg)
	case 8:
		pass(61 * time.Second)
		m.input = 0
	}
}

// userComes has a user wait.
func (m *model) userComes() {
	u := protocoltest.NewUser(m.tunnel)
	if m.over {
		u.WantErr(protocol.ErrTunnelEnded)
	}
	m.users = append(m.users, u)
}

// claim claims an id that the relay has announced.
func (m *model) claim(arg int) {
	m.mu.Lock()
	ids := m.ids
	m.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	id, u := ids[arg%len(ids)], m.users[arg%len(ids)]
	if u.Want != nil {
		m.refused(id)
		return
	}
	claimed, _ := conntest.Memory()
	if err := m.relay.Claim(claimed, "", id); err != nil {
		m.Errorf("the id of a user who waits is refused: %v", err)
	}
	u.Want = func(o protocoltest.Opened) bool { return o.Err == nil && o.Conn == conn.Conn(claimed) }
}

// refused claims in vain.
func (m *model) refused(id string) {
	conn, client := conntest.Memory()
	if err := m.relay.Claim(conn, "", id); !errors.Is(err, protocol.ErrUnknownID) {
		m.Errorf("an id that nobody waits for gives %v", err)
	}
	conntest.WantReset(m.T, client)
}

// say sends bytes that the relay discards.
func (m *model) say(bytes int) {
	_, err := m.control.Write(make([]byte, bytes))
	m.input += bytes
	switch {
	case m.over && bytes > 0 && err == nil:
		m.Error("a control connection that has ended takes bytes")
	case m.input > maxInput:
		m.ended()
	case !m.over && err != nil:
		m.Errorf("after %d bytes in a minute: %v", m.input, err)
	}
}

// clientGoes ends the tunnel, in one of the ways that there are.
func (m *model) clientGoes(way int) {
	switch way % 4 {
	case 0:
		_ = m.control.CloseWrite()
	case 1:
		_ = m.control.Reset()
	default:
		_ = m.tunnel.Close()
	}
	m.ended()
}

func (m *model) ended() {
	m.over = true
	for _, u := range m.users {
		u.WantErr(protocol.ErrTunnelEnded)
	}
}

// check compares what users have got with what they should have.
func (m *model) check() {
	if (m.tunnel.Ended().Err() != nil) != m.over {
		m.Fatalf("has the tunnel ended? %v; should it have? %v", !m.over, m.over)
	}
	protocoltest.CheckUsers(m.T, m.users)
}

// end expects that nothing is left.
func (m *model) end() {
	_ = m.tunnel.Close()
	m.ended()
	synctest.Wait()
	m.check()
	for _, id := range m.ids {
		m.refused(id)
	}
	for _, u := range m.users {
		u.Leave()
	}
	_ = m.control.Close()
}
