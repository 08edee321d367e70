package event

import (
	"context"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/protocol"
)

const (
	// maxQueued bounds the ids that wait to be written. The relay lets fewer
	// users than that wait, so the queue is full only of users who have gone.
	maxQueued = 256
	// writeWait is how long the relay client may take to read ids.
	writeWait = 10 * time.Second
	// What a relay client may send on its control connection, where it has
	// nothing to say.
	maxChatter  = 4 << 10
	chatterTime = time.Minute
)

// tunnel is a control connection.
type tunnel struct {
	relay   *Relay
	control join.Conn
	ids     chan string // never closed
	done    chan struct{}
	end     func() // closes done and control, once
	running sync.WaitGroup
}

func newTunnel(r *Relay, control join.Conn) *tunnel {
	t := &tunnel{
		relay:   r,
		control: control,
		ids:     make(chan string, maxQueued),
		done:    make(chan struct{}),
	}
	t.end = sync.OnceFunc(func() {
		close(t.done)
		_ = control.Close()
	})
	t.running.Go(t.announceIDs)
	t.running.Go(t.readChatter)
	return t
}

func (t *tunnel) Open(ctx context.Context) (join.Conn, error) {
	return t.relay.open(ctx, t.enqueue, t.done)
}

func (t *tunnel) Done() <-chan struct{} { return t.done }

func (t *tunnel) Close() error {
	t.end()
	t.running.Wait()
	return nil
}

func (t *tunnel) enqueue(id string) error {
	select {
	case t.ids <- id:
		return nil
	default:
		return protocol.ErrFull
	}
}

// announceIDs writes the ids, as many at a time as there are.
func (t *tunnel) announceIDs() {
	defer t.end()
	for {
		var lines []byte
		select {
		case id := <-t.ids:
			lines = append(lines, id+"\n"...)
		case <-t.done:
			return
		}
		for range len(t.ids) {
			lines = append(lines, <-t.ids+"\n"...)
		}
		_ = t.control.SetWriteDeadline(time.Now().Add(writeWait)) // fails as the write does
		if _, err := t.control.Write(lines); err != nil {
			return
		}
	}
}

// readChatter waits for the end of the control connection.
func (t *tunnel) readChatter() {
	defer t.end()
	read, since := 0, time.Now()
	buf := make([]byte, 512)
	for {
		n, err := t.control.Read(buf)
		if time.Since(since) > chatterTime {
			read, since = 0, time.Now()
		}
		if read += n; err != nil || read > maxChatter {
			return
		}
	}
}

// Finish is Close: connections that users have are their own.
func (t *tunnel) Finish() { _ = t.Close() }
