package yamux

// maxStreamFrames bounds the frames of one stream that wait to be written: while one is
// written, the next is made ready. A frame may be as large as a pipe.
const maxStreamFrames = 2

// attachment is called back when something happens on a stream, instead of waiting for
// it.
type attachment struct {
	onReadable, onWritable func()
	copied                 bool // what comes is read with TryRead, and so nothing comes in pipes
}

// Attach has onReadable called whenever PourTo may have something to write, and
// onWritable when FillFrom is possible again after it returned EAGAIN. Neither callback
// may block. Any call to any stream of the session may call onWritable. Only the
// goroutines of sessions, the event loops that serve them, or the caller that ends one,
// call onReadable. If either panics the session ends with a *crash.Error. From then on
// the stream must not be read from or written to in any other way.
func (st *Stream) Attach(onReadable, onWritable func()) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.attached = &attachment{onReadable: onReadable, onWritable: onWritable}
}

// OnReadable has f called whenever there may be something for TryRead, and at the end. F is
// called as Attach has it, and there is one of both.
func (st *Stream) OnReadable(f func()) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.attached = &attachment{onReadable: f, onWritable: func() {}, copied: true}
}

// notifyWritable tells the attachment that it may write again, if it waits for that.
func (st *Stream) notifyWritable() {
	st.mu.Lock()
	attached, wants := st.attached, st.wantsWritable
	st.wantsWritable = false
	st.mu.Unlock()
	if wants {
		st.session.runCallback(attached.onWritable)
	}
}

// Failed returns the error that has ended the stream in both directions, or nil.
func (st *Stream) Failed() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.err
}

// Flush sends what FillFrom has gathered.
func (st *Stream) Flush() { st.session.out.flush() }
