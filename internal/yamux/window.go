package yamux

import "time"

const (
	// initialWindow is what each side may send on a new stream before the first window
	// update (spec, "Flow Control").
	initialWindow = 256 << 10
	// maxWindow is the size that a window may grow to: 100 ms at 300 Mbit/s.
	maxWindow = 4 << 20
)

// window is what the peer may send on a stream. An update is sent when half of it is
// used up: earlier costs frames, later costs waiting. If that took less than
// autoTuneRTTs round trips the window doubles, like TCP's receive buffer: the use of
// half a window in one round trip means that the peer has to wait for us, and TCP's
// slow start takes about four round trips to send the first half.
type window struct {
	left   int       // what the peer may still send
	target int       // what it should be able to send before the next update
	since  time.Time // when the last update was sent
}

func newWindow() window { return window{left: initialWindow, target: initialWindow} }

const autoTuneRTTs = 4 // round trips

// measureWithin is how quickly a window has to be used up for the round trip to matter:
// no round trip is longer.
const measureWithin = time.Second

// windowUpdate is what a read calls for.
type windowUpdate struct {
	delta   int  // the window grows by this much
	measure bool // the round trip should be measured
}

// start is called when bytes have come. The first call starts the clock, and reports
// so.
func (w *window) start() (first bool) {
	first = w.since.IsZero()
	if first {
		w.since = time.Now()
	}
	return first
}

// grant returns the update that is due while held bytes have not been read. The window
// grows to limit at most. A round trip of zero is unknown.
func (w *window) grant(held int, roundTrip time.Duration, limit int, pressure bool) windowUpdate {
	used := w.target - w.left - held
	if pressure {
		w.target = initialWindow
		used = w.target - w.left - held
	}
	if used < w.target/2 {
		return windowUpdate{}
	}
	now := time.Now()
	took := now.Sub(w.since)
	if !pressure && w.target < limit && took < autoTuneRTTs*roundTrip {
		w.target = min(2*w.target, limit)
		used = w.target - w.left - held
	}
	w.since = now
	w.left += used
	return windowUpdate{used, took < measureWithin && w.target < limit}
}
