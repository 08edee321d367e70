package record_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/record"
)

// shared is the error of a connection between relay and relay client that carries
// all users.
type shared struct{ error }

func (shared) EndedAll()       {}
func (s shared) Unwrap() error { return s.error }

func TestOf(t *testing.T) {
	const self, peer = record.ByRelay, record.ByClient
	closed := fmt.Errorf("over: %w", shared{net.ErrClosed})
	for name, tt := range map[string]struct {
		r       join.Result
		cut     bool
		by, how string
	}{
		"the user has ended":           {join.Result{First: join.A}, false, record.ByUser, "fin"},
		"the server has ended":         {join.Result{First: join.B}, true, record.ByServer, "fin"},
		"the user has reset":           {join.Result{First: join.A, Err: syscall.ECONNRESET}, false, record.ByUser, "reset"},
		"the server has reset":         {join.Result{First: join.B, Err: join.ErrReset}, true, record.ByServer, "reset"},
		"the user is gone":             {join.Result{First: join.A, Err: join.ErrDead}, false, record.ByUser, "lost"},
		"nothing moves":                {join.Result{First: join.B, Err: join.ErrNoProgress}, false, record.ByServer, "nothing moved after its end"},
		"the other half is gone":       {join.Result{First: join.B, Err: shared{syscall.ECONNRESET}}, false, peer, "lost"},
		"it is, and seen first at A":   {join.Result{First: join.A, Err: shared{errors.New("silent")}}, false, peer, "lost"},
		"it is, while this one ends":   {join.Result{First: join.B, Err: shared{syscall.ECONNRESET}}, true, peer, "lost"},
		"this one ends all at once":    {join.Result{First: join.B, Err: closed}, true, self, "drain"},
		"it was closed, and not by us": {join.Result{First: join.B, Err: closed}, false, peer, "lost"},
	} {
		if by, how := record.Of(tt.r, self, peer, tt.cut); by != tt.by || how != tt.how {
			t.Errorf("%s: %s, %s; want %s, %s", name, by, how, tt.by, tt.how)
		}
	}
}

// Who ends a join by its context is who logs it.
func TestOfStopped(t *testing.T) {
	e, err := join.NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan join.Result, 1)
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	e.Join(ctx, pipe{a}, pipe{b}, join.Options{}, func(r join.Result) { results <- r })
	cancel()
	if by, how := record.Of(<-results, record.ByClient, record.ByRelay, true); by != record.ByClient || how != record.Drain {
		t.Errorf("%s, %s; want %s, %s", by, how, record.ByClient, record.Drain)
	}
}

type pipe struct{ net.Conn }

func (p pipe) CloseWrite() error { return p.Close() }
func (p pipe) Reset() error      { return p.Close() }
