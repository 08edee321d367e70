package relay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/seed96252745/relay/internal/join"
)

// Engine is what forwarders run their connections on: on Linux event loops, one for every
// two processors. A program with many forwarders has them share one with Options.Engine, and
// closes it at the end. Its methods may be called concurrently, and while forwarders run.
type Engine struct {
	loops    *join.Engine
	lastUser atomic.Uint64 // the ID given last

	mu     sync.Mutex // guards what follows
	closed bool
	runs   sync.WaitGroup // of forwarders
}

// NewEngine starts an engine, which has to be closed. It fails if the process has no
// descriptors left.
func NewEngine() (*Engine, error) {
	loops, err := join.NewEngine()
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	return &Engine{loops: loops}, nil
}

// Close waits until every Run that uses the engine has returned, and ends it. A Run that
// begins later returns an error. Further calls only wait.
func (e *Engine) Close() {
	e.mu.Lock()
	first := !e.closed
	e.closed = true
	e.mu.Unlock()
	e.runs.Wait()
	if first {
		e.loops.Close()
	}
}

// Works returns nil when the engine has shown that it works, which takes milliseconds unless
// it hangs, or the error of ctx. It is for a watchdog, and must not be called after Close.
func (e *Engine) Works(ctx context.Context) error { return e.loops.Works(ctx) }

// begin counts a Run, which is over when runs.Done is called.
func (e *Engine) begin() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errors.New("relay: the engine of the options has been closed")
	}
	e.runs.Add(1)
	return nil
}

// startEngine returns the engine of the options, or one for this Run alone. Done ends its
// use.
func (f *Forwarder) startEngine() (e *Engine, done func(), err error) {
	if e = f.listener.wanted().options.Engine; e != nil {
		return e, e.runs.Done, e.begin()
	}
	if e, err = NewEngine(); err != nil {
		return nil, nil, err
	}
	return e, e.Close, nil
}
