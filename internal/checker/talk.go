package checker

import (
	"context"
	"crypto/sha256"
	"hash"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/sockerr"
)

// chunk is the most that is sent or received at a time. Each connection has two
// buffers of this size at either side, and there may be thousands.
const chunk = 16 << 10

// talk is one side of one connection. One goroutine receives and one sends;
// each has its own fields of the record.
type talk struct {
	conn  *net.TCPConn
	rec   *Record
	stall time.Duration // how long without progress until it is given up

	part   part
	echo   bool
	want   *stream // what the payload received should be
	begun  int64   // bytes received before the payload
	sent   hash.Hash
	got    hash.Hash
	lost   bool          // a write was told of a reset
	greet  bool          // the server's hello has been sent
	heard  chan struct{} // closed once the peer's header or hello is there, or never will be
	all    chan struct{} // closed once the payload is there, or never will be
	ended  chan struct{} // closed once nothing more will be received
	broken context.Context
	fail   context.CancelFunc // ends pauses; called once one direction has failed

	mu      sync.Mutex
	last    time.Duration // of the last byte; guarded by mu, like the times of rec
	stopped bool          // resets of our own make net.ErrClosed of reads
	reset   bool
}

func newTalk(conn *net.TCPConn, rec *Record, stall time.Duration) *talk {
	t := &talk{
		conn: conn, rec: rec, stall: stall,
		sent: sha256.New(), got: sha256.New(),
		heard: make(chan struct{}), all: make(chan struct{}), ended: make(chan struct{}),
	}
	t.broken, t.fail = context.WithCancel(context.Background())
	// The kernel ends the connections of a process that is killed with FIN, as
	// though all had been said; with this, by RST.
	_ = conn.SetLinger(0)
	rec.Local, rec.Remote = conn.LocalAddr().String(), conn.RemoteAddr().String()
	rec.Connected = time.Since(rec.Start)
	t.last = rec.Connected
	return t
}

// read is the connection's, and writes down what came.
func (t *talk) read(b []byte) (int, error) {
	n, err := t.conn.Read(b)
	if n > 0 {
		t.got.Write(b[:n])
		t.rec.Received += int64(n)
		t.progress(true)
	}
	return n, err
}

func (t *talk) write(b []byte) error {
	n, err := t.conn.Write(b)
	if n > 0 {
		t.sent.Write(b[:n])
		t.rec.Sent += int64(n)
		t.progress(false)
	}
	t.lost = t.lost || sockerr.Is(err, syscall.ECONNRESET)
	return err
}

// progress notes that a byte has moved, and gives both directions new patience.
func (t *talk) progress(received bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Since(t.rec.Start)
	if received && t.rec.FirstByte == 0 {
		t.rec.FirstByte = now
	}
	t.rec.Gap = max(t.rec.Gap, now-t.last)
	t.last, t.rec.LastByte = now, now
	_ = t.conn.SetDeadline(time.Now().Add(t.stall + t.rec.Linger))
}

// run does this side's part, after the header at the server, and ends the
// connection. preamble is what goes before the payload out.
func (t *talk) run(preamble []byte, out *stream, size int64) {
	if t.echo && !t.greet {
		t.rec.WriteEnd = t.end(t.write(preamble)) // the receiver is told of the same
	}
	var receiving sync.WaitGroup
	receiving.Go(func() { t.rec.ReadEnd = t.receive() })
	if !t.echo {
		t.rec.WriteEnd = t.send(preamble, out, size)
	}
	receiving.Wait()
	t.close()
}

// receive takes everything there is, and says how it ended.
func (t *talk) receive() End {
	end := t.receiveAll()
	if end != EndFIN {
		t.fail()
		t.abort() // so that a write does not wait for a connection that has failed
	}
	close(t.ended)
	return end
}

func (t *talk) receiveAll() End {
	all := sync.OnceFunc(func() { close(t.all) })
	defer all()
	size := t.rec.Up
	if t.rec.Side == User {
		if end := t.receiveHello(); end != "" {
			return end
		}
		size = payloadDown(t.rec.Plan)
	}
	if size == 0 {
		all()
	}
	pace := newPace(t.part.sips, size, t.rec.Linger)
	buffer := make([]byte, pace.chunk)
	for {
		n, err := t.read(buffer)
		t.check(buffer[:n])
		if t.rec.Received-t.begun >= size {
			all()
		}
		if t.echo && n > 0 {
			if end := t.end(t.write(buffer[:n])); end != "" {
				t.rec.WriteEnd = end
				return end
			}
		}
		if err != nil {
			return t.lastRead(t.end(err))
		}
		pace.wait(t.broken, n)
	}
}

// lastRead is for the server that echoes, which has nothing more to say.
func (t *talk) lastRead(end End) End {
	if t.echo && end == EndFIN {
		t.rec.WriteEnd = t.finish()
	}
	return end
}

func (t *talk) receiveHello() End {
	defer close(t.heard)
	b := make([]byte, HelloSize)
	for n := 0; n < len(b); {
		m, err := t.read(b[n:])
		n += m
		if err != nil {
			return t.end(err)
		}
	}
	server, user, err := parseHello(b)
	t.rec.ServerNonce = server
	if err != nil {
		t.rec.anomaly("%v", err)
		t.rec.Wrong = b[:wrongSize]
		return EndWrong
	}
	if user != (Nonce{}) && user != t.rec.Nonce {
		t.rec.anomaly("the server's hello is for %v", user)
	}
	t.begun = HelloSize
	return ""
}

// wrongSize is how much of what was not expected is kept: enough to find out
// where it is from.
const wrongSize = 16

// check compares payload with what it should be.
func (t *talk) check(b []byte) {
	if t.rec.WrongAt < 0 {
		i := t.want.mismatch(b)
		if i < 0 {
			return
		}
		t.rec.WrongAt = t.rec.Received - t.begun - int64(len(b)) + int64(i)
		b = b[i:]
	}
	t.rec.Wrong = append(t.rec.Wrong, b[:min(len(b), wrongSize-len(t.rec.Wrong))]...)
}

// send does what is to be sent, and gives how that ended; "" if it never came
// to that, because the connection had failed.
func (t *talk) send(preamble []byte, out *stream, size int64) End {
	if t.part.begins == afterHello {
		<-t.heard
		wait(t.broken, t.rec.Linger)
	}
	if t.rec.Side == User { // the server has to know at once
		if end := t.end(t.write(preamble)); end != "" {
			return t.failed(end)
		}
	}
	switch t.part.begins {
	case afterAll:
		<-t.all
	case afterEnd:
		<-t.ended
	}
	if t.rec.Side == Server && !t.greet {
		if end := t.end(t.write(preamble)); end != "" {
			return t.failed(end)
		}
	}
	if err := t.sendPayload(out, size); err != nil {
		return t.failed(t.end(err))
	}
	switch t.part.ends {
	case await:
		<-t.ended
	case reset:
		if t.rec.Linger > 0 {
			awaitAcked(t.broken, t.conn)
			wait(t.broken, t.rec.Linger)
		}
		return t.ownReset()
	case resetAcked:
		awaitAcked(t.broken, t.conn)
		return t.ownReset()
	}
	return t.finish()
}

func (t *talk) failed(end End) End {
	t.fail()
	return end
}

func (t *talk) sendPayload(out *stream, size int64) error {
	pace := newPace(t.part.slow, size, t.rec.Linger)
	if t.part.bytes {
		pace.chunk = 1
	}
	half := int64(-1)
	if t.part.pause {
		half = size / 2
	}
	buffer := make([]byte, pace.chunk)
	for done := int64(0); ; {
		if done == half {
			wait(t.broken, t.rec.Linger)
		}
		if done == size {
			return nil
		}
		n := min(int64(len(buffer)), size-done)
		if done < half {
			n = min(n, half-done)
		}
		out.read(buffer[:n])
		if err := t.write(buffer[:n]); err != nil {
			return err
		}
		done += n
		pace.wait(t.broken, int(n))
	}
}
