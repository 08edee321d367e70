package event

import (
	"fmt"
	"time"
)

// keepaliveByte is sent to keep the control connection open. The relay discards it. A
// byte every two seconds is far below maxInput.
const keepaliveByte = "\n"

// clientUserTimeout is after how long without an acknowledgment a relay is dead. If the
// relay vanishes right after it has acknowledged a byte, the next one is sent 15 s later.
// That it has vanished is to be noticed within 35 s, the kernel's own pauses included.
const clientUserTimeout = 18 * time.Second

// sendKeepalives sends often enough for a proxy between to keep the control connection
// open, until the registration has ended.
func (r *registration) sendKeepalives() {
	ticker := time.NewTicker(r.client.keepalive.Interval())
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-r.ctx.Done():
			return
		}
		_ = r.control.SetWriteDeadline(time.Now().Add(writeTimeout)) // fails as the write does
		if _, err := r.control.Write([]byte(keepaliveByte)); err != nil {
			r.loseControl(err)
			return
		}
		r.lastSent.Store(int64(time.Since(r.began)))
	}
}

// loseControl ends the registration because its control connection has failed.
func (r *registration) loseControl(err error) {
	if r.ctx.Err() == nil {
		r.client.keepalive.Lost(time.Since(r.began) - time.Duration(r.lastSent.Load()))
	}
	r.lose(fmt.Errorf("control connection to the relay lost: %w", err))
}
