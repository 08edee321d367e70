package yamux

import "time"

const (
	// initialWindow is what each side may send on a new stream before the first
	// window update (spec, "Flow Control").
	initialWindow = 256 << 10
	// maxWindow is what a window may grow to: 100 ms at 300 Mbit/s.
	maxWindow = 4 << 20
)

// window is what the peer may send on a stream. It is announced anew when half
// of it is used up: earlier costs frames, later costs waiting. If that took no
// longer than quickly, the window is doubled, as TCP's receive buffer is: half of
// it in one round trip means that the peer has to wait for us, and TCP's slow
// start takes about four round trips to send the first half.
type window struct {
	left   int       // what the peer may still send
	target int       // what it should be able to send without hearing from us
	since  time.Time // when it was announced last
}

func newWindow() window { return window{left: initialWindow, target: initialWindow} }

const quickly = 4 // round trips

// hurry is what a window has to be used up in for the round trip to matter:
// there are none that are longer.
const hurry = time.Second

// announcement is what the peer is to be told.
type announcement struct {
	grown   int  // the window by so much
	hurried bool // and the round trip should be known
}

// begin is called when something has come. The first time it starts the clock of
// the first announcement, and says so.
func (w *window) begin() (first bool) {
	first = w.since.IsZero()
	if first {
		w.since = time.Now()
	}
	return first
}

// grant says by how much the window is to be opened, while held bytes have not
// been read. It grows to most, if at all. A round trip of zero is not known.
func (w *window) grant(held int, roundTrip time.Duration, most int, short bool) announcement {
	used := w.target - w.left - held
	if short {
		w.target = initialWindow
		used = w.target - w.left - held
	}
	if used < w.target/2 {
		return announcement{}
	}
	now := time.Now()
	took := now.Sub(w.since)
	if !short && w.target < most && took < quickly*roundTrip {
		w.target = min(2*w.target, most)
		used = w.target - w.left - held
	}
	w.since = now
	w.left += used
	return announcement{used, took < hurry && w.target < most}
}
