package yamux

import (
	"errors"
	"syscall"
)

// maxInlineBatches is how many batches a caller writes itself, while others add to
// them, before it leaves the rest to the session's writer.
const maxInlineBatches = 4

// This file writes what sender.go queues. One goroutine at a time writes: see
// sender.busy.

func (o *sender) pendingLocked() bool {
	return o.current.pending() || len(o.urgent)+o.gathered+len(o.headers)+len(o.large) > 0
}

// flushLocked writes what waits, if nobody else is writing, as far as the socket takes
// it without waiting. It leaves the rest to another goroutine.
func (o *sender) flushLocked() {
	if o.busy || o.full.Load() || o.err != nil {
		return
	}
	o.busy = true
	for batches := 0; batches < maxInlineBatches && o.socket != nil && o.err == nil && o.pendingLocked(); batches++ {
		if !o.writeBatchLocked() {
			break
		}
	}
	if o.err == nil && o.pendingLocked() {
		if o.askTurn == nil {
			o.startWriter() // which stays busy
			return
		}
		if !o.full.Load() && !o.asked {
			o.asked = true
			o.askTurn()
		}
	}
	o.busy = false
	o.idle.Broadcast()
}

// writeLoop writes everything that waits, unless an event loop has come to do that. It
// returns the error that has stopped the sending, if any.
func (o *sender) writeLoop() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil && o.askTurn == nil && o.pendingLocked() {
		if !o.writeBatchLocked() {
			o.waitWritableLocked()
		}
	}
	o.busy = false
	o.idle.Broadcast()
	if o.askTurn != nil {
		o.flushLocked()
	}
	return o.err
}

// resume is called by the loop when the socket takes more.
func (o *sender) resume() {
	if o.full.CompareAndSwap(true, false) {
		o.flush()
	}
}

// takeTurn is called by the loop when it has been asked for a turn.
func (o *sender) takeTurn() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = false
	o.flushLocked()
}

// discardUnsent releases what will never be written.
func (o *sender) discardUnsent(err error) {
	o.mu.Lock()
	for o.writing {
		o.idle.Wait()
	}
	rest, next, large := o.current, batch{gather: o.gather}, o.large
	o.current, o.gather, o.gathered, o.large = batch{}, nil, 0, nil
	o.urgent, o.headers, o.blocked = nil, nil, nil
	o.mu.Unlock()
	rest.release(err)
	next.release(err)
	for _, f := range large {
		f.complete(err)
	}
}

// writeBatchLocked writes the next batch, or the rest of the last one. It releases the
// lock meanwhile. It reports whether the batch is done; if not the socket is full.
func (o *sender) writeBatchLocked() bool {
	o.writing = true
	o.full.Store(o.askTurn != nil) // unless it is not, or resume is called meanwhile
	var unblocked []*Stream
	if !o.current.pending() {
		unblocked = o.nextBatchLocked()
	}
	var err error
	o.unlocked(func() {
		for _, st := range unblocked {
			st.notifyWritable() // for the next batch, while this one is written
		}
		err = catchPanic(o.writeCurrent)
	})
	o.writing = false
	o.idle.Broadcast() // for cancelFrame and discardUnsent
	full := errors.Is(err, syscall.EAGAIN)
	var written batch
	if !full {
		o.full.Store(false)
		written, o.current = o.current, batch{}
		if written.frame != nil {
			written.frame.stream.largeFrames--
		}
		if err != nil {
			if o.err == nil {
				o.failSessionLocked(err)
			}
			err = o.err // the first reason, from which the later ones follow
		}
	}
	o.unlocked(func() { written.release(err) })
	return !full
}

// writeCurrent writes the batch, as far as a socket takes it.
func (o *sender) writeCurrent() error {
	if o.socket != nil {
		return o.socket.write(&o.current)
	}
	return o.current.writeConn(o.conn)
}

// unlocked calls f without the lock, which is held again however f ends.
func (o *sender) unlocked(f func()) {
	o.mu.Unlock()
	defer o.mu.Lock()
	f()
}

// waitWritableLocked waits, without the lock, until the socket takes more.
func (o *sender) waitWritableLocked() {
	var err error
	o.unlocked(func() { err = o.socket.waitWritable() })
	if err != nil && o.err == nil && o.askTurn == nil {
		o.stopLocked(err)
	}
}

// nextBatchLocked makes the next batch, and returns the streams that have space after
// that.
func (o *sender) nextBatchLocked() (unblocked []*Stream) {
	b := &o.current
	b.vectors = b.backing[:0]
	b.gather = o.gather
	for _, bytes := range [][]byte{o.urgent, o.gatheredLocked(), o.headers} {
		if len(bytes) > 0 {
			b.vectors = append(b.vectors, bytes)
		}
	}
	if len(o.large) > 0 {
		b.frame = o.large[0]
		o.large[0] = nil
		o.large = o.large[1:]
		b.vectors = append(b.vectors, b.frame.header)
		if len(b.frame.payload) > 0 {
			b.vectors = append(b.vectors, b.frame.payload)
		}
	}
	unblocked = o.blocked
	o.urgent, o.headers, o.gather, o.gathered, o.pongs, o.blocked = nil, nil, nil, 0, 0, nil
	return unblocked
}

// drain waits until everything queued is sent.
func (o *sender) drain() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drainLocked()
}

// shutdown drains, and then refuses everything: on a connection whose direction is
// ended a later write would fail, and the session would end before the peer has read
// the rest.
func (o *sender) shutdown() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drainLocked()
	o.shut = true
}

func (o *sender) drainLocked() {
	o.flushLocked()
	for o.err == nil && (o.busy || o.pendingLocked()) {
		o.idle.Wait()
	}
}

// isShutDown reports whether nothing can be sent to the peer any more.
func (o *sender) isShutDown() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.shut
}
