package join

import (
	"context"
	"net"
	"sync"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
)

// Set is the joins of one owner on an engine, and what that watches before they begin. The
// owner waits for its own joins, stops them, and learns of their panics. Its methods may be
// called concurrently.
type Set struct {
	engine  *Engine
	onCrash func(*crash.Error) // or nil

	closing chan struct{}  // closed when there are no joins any more
	ending  sync.WaitGroup // of stopIdle

	mu        sync.Mutex // guards what follows
	closed    bool
	stopsIdle bool           // StopIdle has been called
	running   sync.WaitGroup // joins
	copies    map[*copying]struct{}
}

// NewSet returns a set without joins, which has to be closed.
//
// OnCrash is called with a panic that no Result can report, because it happened in a done
// function, or after one was called, or in a function that watches. It may be called
// concurrently. Nil leaves such a panic to end the process.
func (e *Engine) NewSet(onCrash func(*crash.Error)) *Set {
	s := &Set{engine: e, onCrash: onCrash, closing: make(chan struct{}), copies: make(map[*copying]struct{})}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		panic("join: NewSet after Close")
	}
	e.sets[s] = struct{}{}
	return s
}

// Join copies between a and b until both directions have ended, one of the two
// has failed, or ctx is done, whose cause is then the error. It closes both, in
// every case, and calls done after that, once, on another goroutine, which done
// must not hold up. It does not wait. After Close it resets both, and the error
// is net.ErrClosed.
//
// A panic in the code of a connection ends the join, with a Result.Err that
// wraps a *crash.Error, and nothing else.
func (s *Set) Join(ctx context.Context, a, b conn.Conn, o Options, done func(Result)) Handle {
	if !s.begin() {
		c := newCopying(a, b, o, s.engine.periods)
		go func() {
			err := closeConn(a, stopped{net.ErrClosed})
			s.report(done, Result{AToB: o.Prefix, Err: closeConn(b, err)})
		}()
		return c
	}
	finished := func(r Result) {
		defer s.running.Done()
		s.report(done, r)
	}
	if o.Limiter == nil {
		if h := s.engine.loops.join(ctx, s, a, b, o.Prefix, finished); h != nil {
			return h
		}
	}
	c := newCopying(a, b, o, s.engine.periods)
	c.crowd = s.engine.crowd
	go func() { finished(s.copy(ctx, c)) }()
	return c
}

// copy runs a join that no loop can serve.
func (s *Set) copy(ctx context.Context, c *copying) Result {
	s.mu.Lock()
	s.copies[c] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.copies, c)
	}()
	return c.run(ctx)
}

// begin counts a join, unless the set has been closed.
func (s *Set) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.running.Add(1)
	}
	return !s.closed
}

// report calls done.
func (s *Set) report(done func(Result), r Result) {
	if s.onCrash == nil {
		done(r)
		return
	}
	s.guard(func() { done(r) })
}

// guard calls f, and reports its panic.
func (s *Set) guard(f func()) {
	if c := caught(f); c != nil {
		s.crashed(c)
	}
}

// crashed reports a panic that comes too late for a Result.
func (s *Set) crashed(c *crash.Error) {
	if s.onCrash == nil {
		panic(c)
	}
	s.onCrash(c)
}

// Close waits for the joins, which end with their contexts. The engine goes on.
func (s *Set) Close() {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	s.running.Wait()
	if first {
		close(s.closing)
	}
	s.ending.Wait()
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	delete(s.engine.sets, s)
}
