package event

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/protocol"
)

const (
	// writeWait is how long the peer may take to read what is said on the control
	// connection.
	writeWait = 10 * time.Second
	// takesNothing is when a peer is given up that acknowledges nothing on the
	// control connection. Together with keep-alive it is so noticed within 35 s that
	// it has vanished.
	takesNothing = 30 * time.Second
	// What a relay client may send on its control connection, where it has
	// nothing to say.
	maxChatter  = 4 << 10
	chatterTime = time.Minute
)

// tunnel is a control connection.
type tunnel struct {
	relay   *Relay
	control conn.Conn
	owner   string
	queued  chan struct{} // holds one if there are ids to be written; never closed
	pending atomic.Int32  // users who wait for a claim
	running sync.WaitGroup
	protocol.Ending

	mu  sync.Mutex // guards what follows
	ids []string   // to be written: at most Config.MaxPending
}

// Why a tunnel ends, besides net.ErrClosed and what its connection gives.
var (
	errControlEnded = errors.New("the relay client has ended the control connection")
	errChatter      = errors.New("the relay client sends on the control connection, where it has nothing to say")
)

func newTunnel(r *Relay, control conn.Conn, owner string) *tunnel {
	t := &tunnel{
		relay:   r,
		control: control,
		owner:   owner,
		queued:  make(chan struct{}, 1),
		Ending:  protocol.NewEnding(),
	}
	t.running.Go(func() { t.endAfter(t.announceIDs) })
	t.running.Go(func() { t.endAfter(t.readChatter) })
	return t
}

// endAfter ends the tunnel with what run gives, or panics with.
func (t *tunnel) endAfter(run func() error) {
	err := net.ErrClosed
	defer func() {
		if e := crash.Caught(recover()); e != nil {
			err = e
		}
		t.end(err)
	}()
	err = run()
}

// end ends the tunnel for the given reason, unless it has ended already.
func (t *tunnel) end(reason error) {
	t.End(reason)
	_ = t.control.Close()
}

func (t *tunnel) Open(ctx context.Context) (conn.Conn, error) {
	t.pending.Add(1)
	defer t.pending.Add(-1)
	return t.relay.open(ctx, t.owner, t.enqueue, t.Done())
}

// Expected is one for each user who waits.
func (t *tunnel) Expected() int { return int(t.pending.Load()) }

// Retire ends the tunnel: connections that users have are their own.
func (t *tunnel) Retire() { t.end(protocol.ErrRetired) }

func (t *tunnel) Close() error {
	t.end(net.ErrClosed)
	t.running.Wait()
	return nil
}

func (t *tunnel) enqueue(id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.Err() != nil:
		return protocol.ErrTunnelEnded
	case len(t.ids) >= t.relay.config.MaxPending:
		return protocol.ErrFull
	}
	t.ids = append(t.ids, id)
	select {
	case t.queued <- struct{}{}:
	default: // it is known already
	}
	return nil
}

// dequeue gives all ids that wait to be written, as lines.
func (t *tunnel) dequeue() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines []byte
	for _, id := range t.ids {
		lines = append(lines, id+"\n"...)
	}
	t.ids = nil // a tunnel at rest holds none
	return lines
}

// announceIDs writes the ids, as many at a time as there are, until the tunnel
// ends or has to.
func (t *tunnel) announceIDs() error {
	for {
		select {
		case <-t.queued:
		case <-t.Done():
			return nil
		}
		_ = t.control.SetWriteDeadline(time.Now().Add(writeWait)) // fails as the write does
		if _, err := t.control.Write(t.dequeue()); err != nil {
			return fmt.Errorf("telling the relay client of users: %w", err)
		}
	}
}

// readChatter waits for the end of the control connection, and says how it came.
func (t *tunnel) readChatter() error {
	read, since := 0, time.Now()
	buf := make([]byte, 64) // there is next to nothing to read
	for {
		n, err := t.control.Read(buf)
		if time.Since(since) > chatterTime {
			read, since = 0, time.Now()
		}
		switch read += n; {
		case read > maxChatter:
			return errChatter
		case errors.Is(err, io.EOF):
			return errControlEnded
		case err != nil:
			return fmt.Errorf("control connection: %w", err)
		}
	}
}

// Finish is Close: connections that users have are their own.
func (t *tunnel) Finish() { _ = t.Close() }
