package yamux

import (
	"errors"
	"syscall"
)

// maxTurns is how many batches one goroutine writes, while others add to them,
// before it leaves that to the session's own.
const maxTurns = 4

// What is here writes what sender.go queues. One at a time has the turn.

func (o *sender) pendingLocked() bool {
	return o.now.started() || len(o.urgent)+o.gathered+len(o.headers)+len(o.large) > 0
}

// kickLocked writes what waits, if nobody is writing: as far as the socket takes
// it without waiting, and the rest is left to another goroutine.
func (o *sender) kickLocked() {
	if o.busy || o.err != nil {
		return
	}
	o.busy = true
	for turn := 0; turn < maxTurns && o.socket != nil && o.err == nil && o.pendingLocked(); turn++ {
		if !o.writeLocked() {
			break
		}
	}
	if o.err == nil && o.pendingLocked() {
		o.spawn() // and busy with it
		return
	}
	o.busy = false
	o.idle.Broadcast()
}

// turn writes all that waits. It returns the error that the sending has ended
// with, if it has.
func (o *sender) turn() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil && o.pendingLocked() {
		if !o.writeLocked() {
			o.waitWritableLocked()
		}
	}
	o.busy = false
	o.idle.Broadcast()
	return o.err
}

// discard gives back what will never be written.
func (o *sender) discard(err error) {
	o.mu.Lock()
	for o.writing {
		o.idle.Wait()
	}
	rest, next, large := o.now, batch{gather: o.gather}, o.large
	o.now, o.gather, o.gathered, o.large = batch{}, nil, 0, nil
	o.urgent, o.headers, o.roomless = nil, nil, nil
	o.mu.Unlock()
	rest.finish(err)
	next.finish(err)
	for _, f := range large {
		f.done(err)
	}
}

// writeLocked writes one batch of what waits, or the rest of the last one. The
// lock is released meanwhile. It tells whether that is done; if not the socket is
// full.
func (o *sender) writeLocked() bool {
	o.writing = true
	var roomless []*Stream
	if !o.now.started() {
		roomless = o.nextLocked()
	}
	var err error
	o.unlocked(func() {
		for _, st := range roomless {
			st.hasRoom() // for the next batch, while this one is written
		}
		err = guarded(o.writeNow)
	})
	o.writing = false
	o.idle.Broadcast() // for cancel and discard
	full := errors.Is(err, syscall.EAGAIN)
	var written batch
	if !full {
		written, o.now = o.now, batch{}
		if st := written.stream(); st != nil {
			st.large--
		}
		if err != nil {
			if o.err == nil {
				o.breakLocked(err)
			}
			err = o.err // the first reason, from which further ones follow
		}
	}
	o.unlocked(func() { written.finish(err) })
	return !full
}

// writeNow writes the batch, as far as a socket takes it.
func (o *sender) writeNow() error {
	if o.socket != nil {
		return o.socket.write(&o.now)
	}
	return o.now.writeConn(o.conn)
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
	if err != nil && o.err == nil {
		o.failLocked(err)
	}
}

// nextLocked makes the next batch, and gives the streams that then have room.
func (o *sender) nextLocked() (roomless []*Stream) {
	b := &o.now
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
	roomless = o.roomless
	o.urgent, o.headers, o.gather, o.gathered, o.pongs, o.roomless = nil, nil, nil, 0, 0, nil
	return roomless
}

// drain waits until all is sent that waits to be sent.
func (o *sender) drain() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drainLocked()
}

// finish is drain, and then the end of the sending: on a connection whose direction
// is ended whatever came after it would fail, and have the session end before the
// peer has read the rest.
func (o *sender) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drainLocked()
	o.finished = true
}

func (o *sender) drainLocked() {
	o.kickLocked()
	for o.err == nil && (o.busy || o.pendingLocked()) {
		o.idle.Wait()
	}
}

// isFinished tells whether the peer can be asked nothing any more.
func (o *sender) isFinished() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.finished
}
