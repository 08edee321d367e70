package join_test

import (
	"errors"
	"io"
	"testing"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/join"
)

// sets returns two sets of one engine. A panic that one of them reports fails the test.
func sets(t *testing.T) (one, another *join.Set) {
	t.Helper()
	e, err := join.NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	unexpected := func(c *crash.Error) { t.Errorf("unexpected panic: %v", c) }
	return e.NewSet(unexpected), e.NewSet(unexpected)
}

// The owner of a set stops the joins of that set, and no others.
func TestIdleJoinsOfAnotherSetGoOn(t *testing.T) {
	for name, o := range map[string]join.Options{"sockets": {}, "copied": {Limiter: highLimit()}} {
		t.Run(name, func(t *testing.T) {
			one, another := sets(t)
			silent, _, _ := startIdle(t, one, o)
			user, server, result := startIdle(t, another, o)
			one.StopIdle(soon)
			conntest.WantReset(t, silent) // by which time the other one has been idle for as long
			later, _, _ := startIdle(t, one, o)
			conntest.WantReset(t, later)
			conntest.WantPair(t, user, server)
			if len(result) != 0 {
				t.Errorf("the join of the other set has ended: %+v", <-result)
			}
		})
	}
}

// The owner of a set waits for the joins of that set, and no others.
func TestSetClose(t *testing.T) {
	for name, o := range map[string]join.Options{"sockets": {}, "copied": {Limiter: highLimit()}} {
		t.Run(name, func(t *testing.T) {
			one, another := sets(t)
			user, server, _ := startIdle(t, another, o)
			ended, _, result := startIdle(t, one, o)
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				one.Close()
			}()
			select {
			case <-closed:
				t.Error("Close returns before the join has ended")
			default:
			}
			_ = ended.Reset()
			await(t, closed)
			if len(result) != 1 {
				t.Error("Close has returned before the end was reported")
			}
			conntest.WantPair(t, user, server)
			later := newRig(t)
			one.Join(t.Context(), later.near[join.A], later.near[join.B], o, func(r join.Result) { later.result <- r })
			if r := await(t, later.result); r.Ending() != join.Stopped {
				t.Errorf("a join after Close ended as %v (%v), want %v", r.Ending(), r.Err, join.Stopped)
			}
		})
	}
}

// A panic is told to the owner of its set.
func TestPanicIsToldToItsSet(t *testing.T) {
	e, err := join.NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	told := make(chan *crash.Error, 1)
	crashing := e.NewSet(func(c *crash.Error) { told <- c })
	e.NewSet(func(c *crash.Error) { t.Errorf("another set is told of %v", c) })
	r := newRig(t)
	r.cancel(errors.New("over"))
	crashing.Join(r.ctx, r.near[join.A], r.near[join.B], join.Options{}, func(join.Result) { panic(io.EOF) })
	if c := await(t, told); !errors.Is(c, io.EOF) {
		t.Errorf("told of %v, want %v", c, io.EOF)
	}
}
