package event

import (
	"fmt"
	"time"
)

// said is what a relay client says that has nothing to say: the relay throws it away.
// A byte every two seconds is far from what it takes for too much.
const said = "\n"

// mostSilent is when the relay client gives a relay up that acknowledges nothing. Where
// the relay vanishes right after it has acknowledged a byte, the next one is sent 15 s
// later, and it is to be noticed within 35 s, the kernel's own pauses included.
const mostSilent = 18 * time.Second

// speak says something often enough for a proxy between to keep the control
// connection, until the registration has ended.
func (r *registration) speak() {
	every := time.NewTicker(r.client.pace.Silence())
	defer every.Stop()
	for {
		select {
		case <-every.C:
		case <-r.ctx.Done():
			return
		}
		_ = r.control.SetWriteDeadline(time.Now().Add(writeWait)) // fails as the write does
		if _, err := r.control.Write([]byte(said)); err != nil {
			r.controlLost(err)
			return
		}
		r.spoke.Store(int64(time.Since(r.began)))
	}
}

// controlLost ends the registration whose control connection has failed.
func (r *registration) controlLost(err error) {
	if r.ctx.Err() == nil {
		r.client.pace.Ended(time.Since(r.began) - time.Duration(r.spoke.Load()))
	}
	r.lose(fmt.Errorf("control connection to the relay lost: %w", err))
}
