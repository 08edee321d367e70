package event_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
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
	registration, control := r.registerWith(client, func(ctx context.Context) (join.Conn, error) {
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
// registers anew less and less often, until a user has come.
func TestClientToleratesUsersWhoLeave(t *testing.T) {
	r := newRawRelay(t)
	client := new(event.Client)
	var registration *protocoltest.Registration
	var control join.Conn
	claim := func() (relayEnd, clientEnd join.Conn) {
		conntest.Write(t, control, "USER\n")
		relayEnd = r.Next("event\nUSER\n")
		return relayEnd, protocoltest.Accept(t, registration)
	}
	comes := func() {
		relayEnd, clientEnd := claim()
		conntest.WantPair(t, relayEnd, clientEnd)
	}
	leaves := func() {
		relayEnd, clientEnd := claim()
		_ = relayEnd.Reset()
		conntest.WantReset(t, clientEnd)
	}
	for _, tolerated := range []int{1, 3, 7} {
		registration, control = r.registerWith(client, r.Dial)
		for range tolerated {
			leaves()
		}
		wantServed(t, registration)
		leaves()
		<-registration.Ended()
	}
	registration, control = r.registerWith(client, r.Dial)
	for range 3 {
		leaves()
		comes()
	}
	leaves()
	wantServed(t, registration)
	leaves()
	<-registration.Ended()
}

// registerWith registers with the client, whose connections dial makes.
func (r *rawRelay) registerWith(client *event.Client, dial protocol.Dialer) (*protocoltest.Registration, join.Conn) {
	r.Helper()
	done := make(chan *protocoltest.Registration, 1)
	go func() {
		registration, err := protocoltest.Register(r.Context(), client, dial)
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

// wantServed expects a registration to stand.
func wantServed(t *testing.T, registration *protocoltest.Registration) {
	t.Helper()
	select {
	case <-registration.Ended():
		t.Fatal("the registration has ended")
	default:
	}
}
