package sshd

import (
	"runtime/debug"
	"sync"
	"time"
)

const (
	// crowdSize is how many clients leave enough behind to look after it.
	crowdSize = 100
	// crowdPause is for how long none has come when a crowd is over.
	crowdPause = 10 * time.Second
)

// crowd gives memory back after many clients have come, as they all do after the relay was
// away. Key exchanges leave stacks that have grown and as much garbage as there is of use, and
// where nobody makes more the collector lets both be for minutes, and keeps half of it then.
// The zero value is ready to use. Its methods may be called concurrently.
type crowd struct {
	mu    sync.Mutex // guards what follows
	came  int
	timer *time.Timer // nil while there is nothing to look after
}

// add counts a client.
func (c *crowd) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.came++
	if c.timer == nil {
		c.timer = time.AfterFunc(crowdPause, c.settle)
		return
	}
	c.timer.Reset(crowdPause)
}

func (c *crowd) settle() {
	c.mu.Lock()
	came := c.came
	c.came, c.timer = 0, nil
	c.mu.Unlock()
	if came >= crowdSize {
		debug.FreeOSMemory()
	}
}
