package protocoltest

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/transport"
)

// ErrUserLeft is why users of tests give up.
var ErrUserLeft = errors.New("the user left")

// Pair makes a connection between a relay and a relay client, on which the latter does
// not wait forever.
func Pair(t *testing.T) (relay, client *transport.Conn) {
	t.Helper()
	relay, client = conntest.Pair(t)
	if err := client.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return relay, client
}

// WantEnded waits for the session to end.
func WantEnded(t *testing.T, session protocol.Session) {
	t.Helper()
	select {
	case <-session.Ended().Done():
	case <-time.After(patience):
		t.Fatal("the session does not end")
	}
}

// Opened is what a user has got.
type Opened struct {
	Conn conn.Conn
	Err  error
}

// User is a user of a fuzzer's model.
type User struct {
	// Want reports whether the user has got what the model expects. Nil expects that
	// the user still waits.
	Want  func(Opened) bool
	leave context.CancelCauseFunc
	got   chan Opened
}

// NewUser returns a user who waits for a connection.
func NewUser(session protocol.Session) *User {
	ctx, leave := context.WithCancelCause(context.Background())
	u := &User{leave: leave, got: make(chan Opened, 1)}
	go func() {
		conn, err := session.Open(ctx, netip.AddrPort{})
		u.got <- Opened{conn, err}
	}()
	return u
}

// Leave has the user give up.
func (u *User) Leave() {
	u.leave(ErrUserLeft)
	u.WantErr(ErrUserLeft)
}

// WantErr expects the error of a user who still waits.
func (u *User) WantErr(err error) {
	if u.Want == nil {
		u.Want = func(o Opened) bool { return errors.Is(o.Err, err) }
	}
}

// Got returns what the user has got, and reports whether that is anything.
func (u *User) Got() (o Opened, ok bool) {
	select {
	case o = <-u.got:
		u.got <- o
		return o, true
	default:
		return Opened{}, false
	}
}

// CheckUsers compares what users have got with what the model expects.
func CheckUsers(t *testing.T, users []*User) {
	t.Helper()
	for i, u := range users {
		switch o, ok := u.Got(); {
		case ok && u.Want == nil:
			t.Fatalf("user %d got %+v, and should wait", i, o)
		case !ok && u.Want != nil:
			t.Fatalf("user %d waits in vain", i)
		case ok && !u.Want(o):
			t.Fatalf("user %d got %+v", i, o)
		}
	}
}
