package multiplex_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol/multiplex"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
	"github.com/seed96252745/relay/internal/wire"
)

const furtherSession = "+session ID\nmultiplex\n"

// registerSessions has a relay client ask this relay for three sessions. The relay answers
// with each of the answers, on a connection of its own.
func (r *rawRelay) registerSessions(client *multiplex.Client, answers ...string) (*protocoltest.Registration, yamuxPeer) {
	r.Helper()
	client.Sessions = 3
	registered := make(chan *protocoltest.Registration, 1)
	go func() {
		registration, err := protocoltest.Register(r.Context(), client, r.Dial)
		if err != nil {
			r.Error(err)
		}
		registered <- registration
	}()
	asks := "+sessions 3\nmultiplex\n"
	var relay yamuxPeer
	for _, answer := range answers {
		relay = yamuxPeer{r.T, r.Next(asks)}
		conntest.Write(r.T, relay.conn, answer)
		asks = "multiplex\n"
	}
	registration := <-registered
	if registration == nil {
		r.FailNow()
	}
	r.Cleanup(func() {
		_ = relay.conn.Reset() // Close would wait for it
		_ = registration.Close()
	})
	return registration, relay
}

// further is the next connection of the relay client's, which is another session.
func (r *rawRelay) further() yamuxPeer {
	r.Helper()
	session := yamuxPeer{r.T, r.Next(furtherSession)}
	r.Cleanup(func() { _ = session.conn.Reset() })
	return session
}

// user has a user come on a session, as its stream with this id.
func (r *rawRelay) user(registration *protocoltest.Registration, session yamuxPeer, id uint32) conn.Conn {
	r.Helper()
	session.send(data(id, flagSYN, "hi"))
	c := protocoltest.Accept(r.T, registration)
	session.wantFlag(id, flagACK)
	conntest.WantRead(r.T, c, "hi")
	conntest.Write(r.T, c, "ho")
	session.want(data(id, 0, "ho"))
	return c
}

// The relay client makes further sessions, and users come on all of them.
func TestClientHasSessions(t *testing.T) {
	r := newRawRelay(t)
	registration, a := r.registerSessions(new(multiplex.Client), "+lease 60\n+sessions 3\n+session ID\n20001\n")
	for _, session := range []yamuxPeer{a, r.further(), r.further()} {
		r.user(registration, session, 1)
		_ = r.user(registration, session, 3).Reset()
	}
}

// A session that is lost takes its users along, and is made anew; all others go on. Which
// one it is does not matter.
func TestClientLosesOneSession(t *testing.T) {
	for lost := range 3 {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			r := newRawRelay(t)
			told := make(chan error, 10)
			registration, a := r.registerSessions(&multiplex.Client{OnFailure: func(err error) { told <- err }},
				"+sessions 3\n+session ID\n20001\n")
			sessions := []yamuxPeer{a, r.further(), r.further()}
			var users []conn.Conn
			for _, session := range sessions {
				users = append(users, r.user(registration, session, 1))
			}
			_ = sessions[lost].conn.Close()
			wantFailure(t, users[lost])
			if err := <-told; !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("told %v", err)
			}
			for i, session := range sessions {
				if i != lost {
					conntest.Write(t, users[i], "more")
					session.want(data(1, 0, "more"))
				}
			}
			r.user(registration, r.further(), 1)
		})
	}
}

// The registration is lost with the last session.
func TestClientLosesAllSessions(t *testing.T) {
	r := newRawRelay(t)
	registration, a := r.registerSessions(new(multiplex.Client), "+sessions 2\n+session ID\n20001\n")
	b := r.further()
	user := r.user(registration, b, 1)
	_ = r.Listener.Close() // the relay is gone
	_ = a.conn.Reset()
	select {
	case <-registration.Ended():
		t.Fatal("the registration has ended although one session stands")
	default:
	}
	conntest.Write(t, user, "more")
	b.want(data(1, 0, "more"))
	_ = b.conn.Reset()
	<-registration.Ended()
	if _, err := registration.Accept(); err == nil {
		t.Error("it has ended without a reason")
	}
	wantFailure(t, user)
}

// A relay that refuses further sessions serves the users on the one that there is.
func TestClientIsRefusedFurtherSessions(t *testing.T) {
	r := newRawRelay(t)
	registration, a := r.registerSessions(new(multiplex.Client), "+sessions 2\n+session ID\n20001\n")
	for _, refuse := range []func(conn.Conn) error{conn.Conn.Reset, conn.Conn.Close} {
		_ = refuse(r.further().conn)
		r.user(registration, a, 1).Reset()
		a.wantFlag(1, flagRST)
	}
	r.user(registration, r.further(), 1)
}

// A relay of an earlier version does not know the option, and one may grant nothing.
func TestClientAtOtherRelays(t *testing.T) {
	for name, answers := range map[string][]string{
		"earlier":        {"-unknown-option sessions\n", "20001\n"},
		"no other":       {"20001\n"},
		"no id":          {"+sessions 3\n20001\n"},
		"no number":      {"+session ID\n20001\n"},
		"one":            {"+sessions 1\n+session ID\n20001\n"},
		"more than that": {"+future 1\n20001\n"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRawRelay(t)
			registration, a := r.registerSessions(new(multiplex.Client), answers...)
			r.user(registration, a, 1)
			_ = a.conn.Reset()
			<-registration.Ended()
		})
	}
}

// Another refusal is no reason to ask again.
func TestClientAsksOnce(t *testing.T) {
	for _, refusal := range []string{"-unknown-option lease\n", "-limit sessions\n", "-unauthorized\n"} {
		r := newRawRelay(t)
		failed := make(chan error, 1)
		go func() {
			_, err := protocoltest.Register(t.Context(), &multiplex.Client{Sessions: 3}, r.Dial)
			failed <- err
		}()
		conntest.Write(t, r.Next("+sessions 3\nmultiplex\n"), refusal)
		if err := <-failed; !errors.As(err, new(*wire.Refusal)) {
			t.Errorf("%q: got %v", refusal, err)
		}
	}
}

// A relay client that leaves says so on each session, and those end with the last user of
// any.
func TestClientLeavesSessions(t *testing.T) {
	r := newRawRelay(t)
	registration, a := r.registerSessions(new(multiplex.Client), "+sessions 2\n+session ID\n20001\n")
	b := r.further()
	onA := r.user(registration, a, 1)
	onB := r.user(registration, b, 1)
	closed := make(chan struct{})
	go func() {
		_ = registration.Close()
		close(closed)
	}()
	a.want(frame{kind: typeGoAway})
	b.want(frame{kind: typeGoAway})
	for _, c := range []struct {
		user    conn.Conn
		session yamuxPeer
	}{{onA, a}, {onB, b}} {
		conntest.Write(t, c.user, "more")
		c.session.want(data(1, 0, "more"))
		_ = c.user.Reset()
		c.session.want(frame{kind: typeWindow, flags: flagRST, stream: 1})
	}
	for _, session := range []yamuxPeer{a, b} {
		session.wantEnd()
		_ = session.conn.Close()
	}
	<-closed
}
