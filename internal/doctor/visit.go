package doctor

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"sync/atomic"
	"time"
)

// visit is one connection of a user, and both of its ends.
type visit struct {
	tunnel    *tunnel
	id        visitID
	user      *net.TCPConn
	firstByte time.Duration // from before connecting until the serving side has answered
	served    chan error    // how serving has ended; has room for it
	from      atomic.Pointer[net.Addr]
	size      int64
	up, down  atomic.Int64 // bytes that have arrived
	uploaded  atomic.Pointer[time.Time]
	stop      func() bool
}

// visit connects to the public port as a user.
func (t *tunnel) visit(ctx context.Context, mode byte) (*visit, error) {
	return t.visitWith(ctx, mode, 0, net.Dialer{})
}

func (t *tunnel) visitWith(ctx context.Context, mode byte, size int64, dialer net.Dialer) (*visit, error) {
	v := &visit{tunnel: t, served: make(chan error, 1), size: size}
	_, _ = rand.Read(v.id[:]) // never fails
	t.mu.Lock()
	t.visits[v.id] = v
	t.mu.Unlock()
	dialer.Timeout = t.wait
	begin := time.Now()
	c, err := dialer.DialContext(ctx, "tcp", t.public)
	if err != nil {
		t.forget(v.id)
		return nil, err
	}
	v.user = c.(*net.TCPConn)
	v.stop = context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	if err := v.greet(mode); err != nil {
		v.close()
		return nil, err
	}
	v.firstByte = time.Since(begin)
	return v, nil
}

func (t *tunnel) forget(id visitID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.visits, id)
}

func (v *visit) greet(mode byte) error {
	if err := v.user.SetDeadline(time.Now().Add(v.tunnel.wait)); err != nil {
		return err
	}
	if _, err := v.user.Write(append(v.id[:], mode)); err != nil {
		return err
	}
	var b [1]byte
	if _, err := io.ReadFull(v.user, b[:]); err != nil {
		return err
	}
	if b[0] != greeting {
		return errOther
	}
	return v.user.SetDeadline(time.Time{})
}

// close ends the visit without an order.
func (v *visit) close() {
	v.stop()
	_ = v.user.SetLinger(0)
	_ = v.user.Close()
	v.tunnel.forget(v.id)
}

func (v *visit) seenFrom() string {
	addr := v.from.Load()
	if addr == nil {
		return "an unknown address"
	}
	host, _, err := net.SplitHostPort((*addr).String())
	if err != nil {
		return (*addr).String()
	}
	return host
}

// ping sends a byte and waits for it.
func (v *visit) ping(ctx context.Context) error {
	deadline := time.Now().Add(v.tunnel.wait)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := v.user.SetDeadline(deadline); err != nil {
		return err
	}
	b := []byte{'.'}
	if _, err := v.user.Write(b); err != nil {
		return err
	}
	if _, err := io.ReadFull(v.user, b); err != nil {
		return err
	}
	return v.user.SetDeadline(time.Time{})
}

// random returns the bytes of one direction of a visit: both ends know them.
func (v *visit) random(direction byte) io.Reader {
	seed := sha256.Sum256(append(v.id[:], direction))
	return io.LimitReader(mathrand.NewChaCha8(seed), v.size)
}

// sum returns the hash of the bytes of one direction.
func (v *visit) sum(direction byte) (sum [sha256.Size]byte) {
	h := sha256.New()
	_, _ = io.Copy(h, v.random(direction)) // cannot fail
	return [sha256.Size]byte(h.Sum(nil))
}

// receive reads until the end, and compares.
func (v *visit) receive(from io.Reader, direction byte, count *atomic.Int64) error {
	h := sha256.New()
	n, err := io.Copy(h, io.TeeReader(io.LimitReader(from, v.size+1), counter{count}))
	switch {
	case err != nil:
		return err
	case n != v.size:
		return fmt.Errorf("%w: %d of %d bytes, and then an end", errChanged, n, v.size)
	case [sha256.Size]byte(h.Sum(nil)) != v.sum(direction):
		return fmt.Errorf("%w: %d bytes have come, and they are others than were sent", errChanged, n)
	}
	return nil
}

// errChanged is the worst of all findings.
var errChanged = errors.New("not what was sent")

type counter struct{ n *atomic.Int64 }

func (c counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}

// exchange is the serving side of modeBytes: what the user sends until its end, and then the
// other direction, which only goes on if half-close does.
func (v *visit) exchange(c net.Conn) error {
	if err := v.receive(c, 'u', &v.up); err != nil {
		return err
	}
	v.uploaded.Store(new(time.Now()))
	if _, err := io.Copy(c, v.random('d')); err != nil {
		return err
	}
	half, ok := c.(interface{ CloseWrite() error })
	if !ok {
		return errors.New("a connection without half-close")
	}
	return half.CloseWrite()
}
