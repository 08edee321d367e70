package yamux

// maxStreamFrames is how many frames of one stream may wait to be written: while
// one is on its way, the next is made ready. A frame may be a pipe full.
const maxStreamFrames = 2

// attachment is what wants to know of news on a stream, instead of waiting.
type attachment struct{ arrived, roomy func() }

// Attach has arrived called whenever there may be something for PourTo, and
// roomy when FillFrom is possible again after it gave EAGAIN. Neither may wait.
// Roomy may be called from within any call to any stream of the session, arrived
// only by the goroutines of sessions or whoever ends one. If either panics the
// session ends, with a *crash.Error. From then on the
// stream must not be read from or written to in any other way.
func (st *Stream) Attach(arrived, roomy func()) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.attached = &attachment{arrived, roomy}
}

// hasRoom tells what is attached that it may write again, if it waits for that.
func (st *Stream) hasRoom() {
	st.mu.Lock()
	attached, wants := st.attached, st.wantsRoom
	st.wantsRoom = false
	st.mu.Unlock()
	if wants {
		st.session.call(attached.roomy)
	}
}

// Failed gives the error that has ended the stream in both directions, or nil.
func (st *Stream) Failed() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.err
}

// Flush sends what FillFrom has gathered.
func (st *Stream) Flush() { st.session.out.flush() }
