package event_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/event"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
)

// Two claims in a row that could not be made are the end of the registration: users
// would wait in vain.
func TestClientCannotDialTwice(t *testing.T) {
	r := newRawRelay(t)
	noRoute := errors.New("no route")
	var broken atomic.Bool
	failures := make(chan error, 10)
	client := &event.Client{OnFailure: func(err error) { failures <- err }}
	registration, control := r.registerWith(client, func(ctx context.Context) (conn.Conn, error) {
		if broken.Load() {
			return nil, noRoute
		}
		return r.Dial(ctx)
	})
	broken.Store(true)
	conntest.Write(t, control, "ONE\nTWO\n")
	if _, err := registration.Accept(); !errors.Is(err, noRoute) {
		t.Errorf("the registration ends with %v, want %v", err, noRoute)
	}
	for range 2 {
		if err := <-failures; !errors.Is(err, noRoute) {
			t.Errorf("told of %v, want %v", err, noRoute)
		}
	}
}

// Claims are refused for users who have left, too. Where that goes on the client
// registers anew less and less often. Users who come bring it back to how it was.
func TestClientToleratesUsersWhoLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newClaimRig(t)
		for _, tolerated := range []int{1, 3, 7} {
			r.register()
			r.leave(tolerated)
			r.wantStanding()
			r.leave(1)
			r.wantEnded()
		}
		r.register()
		r.leave(10)
		r.come() // which shows that 10 in a row have to be tolerated
		pass(trustTime)
		r.leave(15)
		r.wantStanding()
		for range 10 {
			r.come()
		}
		pass(trustTime)
		r.leave(1)
		r.wantStanding()
		r.leave(1)
		r.wantEnded()
	})
}

// A client that serves users is at the right relay. Health checks, or a stranger, may
// leave between them as often as they like.
func TestClientServesUsersBesideThoseWhoLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newClaimRig(t)
		r.register()
		for range 100 {
			r.come()
			r.leave(50)
			pass(2 * time.Second)
			r.leave(50)
			r.wantStanding()
		}
		pass(trustTime)
		r.leave(2)
		r.wantEnded()
	})
}

// trustTime is longer than a successful claim shows that this is the right relay.
const trustTime = 4 * time.Second

// claimRig is a relay client in simulated time, with its relay played by the test.
type claimRig struct {
	*testing.T
	client       *event.Client
	dialled      chan *conntest.MemoryConn // the relay's ends
	control      *conntest.MemoryConn
	registration *protocoltest.Registration
}

func newClaimRig(t *testing.T) *claimRig {
	t.Helper()
	return &claimRig{T: t, client: new(event.Client), dialled: make(chan *conntest.MemoryConn, 1)}
}

func (r *claimRig) dial(context.Context) (conn.Conn, error) {
	near, far := conntest.Memory()
	r.dialled <- far
	return near, nil
}

func (r *claimRig) register() {
	r.Helper()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		r.control = <-r.dialled
		conntest.WantRead(r.T, r.control, "event\nnew\n")
		conntest.Write(r.T, r.control, "20001\n")
	}()
	registration, err := protocoltest.Register(r.Context(), r.client, r.dial)
	if err != nil {
		r.Fatal(err)
	}
	<-answered
	go io.Copy(io.Discard, r.control)
	r.registration = registration
	r.Cleanup(func() { _ = registration.Close() })
}

func (r *claimRig) claim() (relayEnd *conntest.MemoryConn, clientEnd conn.Conn) {
	r.Helper()
	conntest.Write(r.T, r.control, "USER\n")
	relayEnd = <-r.dialled
	conntest.WantRead(r.T, relayEnd, "event\nUSER\n")
	clientEnd, err := r.registration.Accept()
	if err != nil {
		r.Fatal(err)
	}
	return relayEnd, clientEnd
}

// come has a user come, and be served.
func (r *claimRig) come() {
	r.Helper()
	relayEnd, clientEnd := r.claim()
	go conntest.Write(r.T, relayEnd, "u") // a connection in memory has no buffer
	conntest.WantRead(r.T, clientEnd, "u")
	_, _ = relayEnd.Reset(), clientEnd.Reset()
}

// leave is so many users, one after the other, who have left before their claim comes.
func (r *claimRig) leave(users int) {
	r.Helper()
	for range users {
		relayEnd, clientEnd := r.claim()
		_ = relayEnd.Reset()
		conntest.WantReset(r.T, clientEnd)
		_ = clientEnd.Reset()
	}
}

func (r *claimRig) wantStanding() {
	r.Helper()
	synctest.Wait()
	select {
	case <-r.registration.Ended():
		r.Fatal("the registration has ended")
	default:
	}
}

func (r *claimRig) wantEnded() {
	r.Helper()
	synctest.Wait()
	select {
	case <-r.registration.Ended():
	default:
		r.Fatal("the registration stands")
	}
}

// registerWith registers with the client, whose connections dial makes.
func (r *rawRelay) registerWith(client *event.Client, dial protocol.Dialer) (*protocoltest.Registration, conn.Conn) {
	r.Helper()
	done := make(chan *protocoltest.Registration, 1)
	go func() {
		registration, err := protocoltest.RegisterLoop(r.Context(), client, dial, r.loop)
		if err != nil {
			r.Error(err)
		}
		done <- registration
	}()
	control := r.Next("event\nnew\n")
	conntest.Write(r.T, control, "20001\n")
	registration := <-done
	r.Cleanup(func() { _ = registration.Close() })
	return registration, control
}
