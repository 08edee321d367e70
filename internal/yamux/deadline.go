package yamux

import "time"

// deadline is the time at which waiting ends. It has a timer only while it is set. The
// zero value never passes.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

// set sets the deadline, at which wake is called.
func (d *deadline) set(at time.Time, wake func()) {
	d.stop()
	d.at = at
	if !at.IsZero() {
		d.timer = time.AfterFunc(time.Until(at), wake)
	}
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

func (d *deadline) passed() bool {
	return !d.at.IsZero() && !time.Now().Before(d.at)
}
