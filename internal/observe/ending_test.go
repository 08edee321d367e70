package observe_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/observe"
)

// shared is the error of a connection between relay and relay client that carries
// all users.
type shared struct{ error }

func (shared) EndedAll()       {}
func (s shared) Unwrap() error { return s.error }

func TestEnding(t *testing.T) {
	const self, peer = observe.ByRelay, observe.ByRelayClient
	closed := fmt.Errorf("over: %w", shared{net.ErrClosed})
	for name, tt := range map[string]struct {
		r   join.Result
		cut bool
		by  observe.Party
		how observe.How
	}{
		"the user has ended":           {join.Result{First: join.A}, false, observe.ByUser, observe.Fin},
		"the server has ended":         {join.Result{First: join.B}, true, observe.ByServer, observe.Fin},
		"the user has reset":           {join.Result{First: join.A, Err: syscall.ECONNRESET}, false, observe.ByUser, observe.Reset},
		"the server has reset":         {join.Result{First: join.B, Err: join.ErrReset}, true, observe.ByServer, observe.Reset},
		"the user is gone":             {join.Result{First: join.A, Err: join.ErrDead}, false, observe.ByUser, observe.Lost},
		"nothing moves":                {join.Result{First: join.B, Err: join.ErrNoProgress}, false, observe.ByServer, observe.HalfCloseTimeout},
		"the other half is gone":       {join.Result{First: join.B, Err: shared{syscall.ECONNRESET}}, false, peer, observe.Lost},
		"it is, and seen first at A":   {join.Result{First: join.A, Err: shared{errors.New("silent")}}, false, peer, observe.Lost},
		"it is, while this one ends":   {join.Result{First: join.B, Err: shared{syscall.ECONNRESET}}, true, peer, observe.Lost},
		"this one ends all at once":    {join.Result{First: join.B, Err: closed}, true, self, observe.Drain},
		"it was closed, and not by us": {join.Result{First: join.B, Err: closed}, false, peer, observe.Lost},
	} {
		if by, how := observe.Ending(tt.r, self, peer, tt.cut); by != tt.by || how != tt.how {
			t.Errorf("%s: %s, %s; want %s, %s", name, by, how, tt.by, tt.how)
		}
	}
}

// Who ends a join is who logs it: by its context, or because its operator wants it.
func TestEndingStopped(t *testing.T) {
	e, err := join.NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	byOperator := observe.WithReason(errors.New("it is not welcome"), observe.ClosedByOperator)
	for want, stop := range map[observe.How]func(cancel func(), j join.Handle){
		observe.Drain:        func(cancel func(), _ join.Handle) { cancel() },
		"closed_by_operator": func(_ func(), j join.Handle) { j.Stop(byOperator) },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		results := make(chan join.Result, 1)
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		stop(cancel, e.NewSet(nil).Join(ctx, pipe{a}, pipe{b}, join.Options{}, func(r join.Result) { results <- r }))
		if by, how := observe.Ending(<-results, observe.ByRelayClient, observe.ByRelay, true); by != observe.ByRelayClient || how != want {
			t.Errorf("%s, %s; want %s, %s", by, how, observe.ByRelayClient, want)
		}
	}
}

type pipe struct{ net.Conn }

func (p pipe) CloseWrite() error { return p.Close() }
func (p pipe) Reset() error      { return p.Close() }
