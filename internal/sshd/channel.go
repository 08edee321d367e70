package sshd

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/seed96252745/relay/internal/conn"
)

// channel is a user's connection: a channel of SSH that ends as TCP does, as far as SSH has it.
type channel struct {
	connection *connection
	forward    *forward
	ssh        ssh.Channel
	// away is since when nobody reads, of which there was something, in the time of the
	// watch; 0 while somebody does.
	away atomic.Int64
	once sync.Once

	failing sync.Mutex // guards what follows
	failed  error
	onFail  func(error)

	reading sync.Mutex // guards what follows
	first   []byte     // what WaitReadable has read; aliases held
	held    [heldBytes]byte
	bulk    bool // bytes come so fast that there is no time to wait for them without a buffer
}

const (
	// heldBytes is what a user at rest costs, in place of a buffer: what people type, and
	// most of what programs ask.
	heldBytes = 512
	// bulkBytes is what a read of a transfer gives at least: clients send packets of 16 KiB
	// and more. At the end of most transfers there is less, and the buffer is given back.
	bulkBytes = 8 << 10
)

var (
	_ conn.Conn       = (*channel)(nil)
	_ conn.ReadWaiter = (*channel)(nil)
	_ conn.Failer     = (*channel)(nil)
)

// newChannel answers the requests on a channel: plink sends some during an upload, and waits
// for the answers.
func newChannel(f *forward, ch ssh.Channel, requests <-chan *ssh.Request) *channel {
	c := f.connection
	c.running.Go(func() { ssh.DiscardRequests(requests) })
	user := &channel{connection: c, forward: f, ssh: ch}
	c.front.watch.add(user)
	c.users.Add(1)
	c.running.Go(user.refuseExtended)
	return user
}

var errExtended = errors.New("the SSH client sends extended data, which a forwarded connection has none of")

// refuseExtended resets the user if the client sends extended data: the library would hold a
// window of it that nobody reads.
func (c *channel) refuseExtended() {
	var b [1]byte
	if n, _ := c.ssh.Stderr().Read(b[:]); n > 0 {
		c.fail(errExtended)
	}
}

// fail ends the connection although nobody reads or writes it.
func (c *channel) fail(err error) {
	c.failing.Lock()
	first, on := c.failed == nil, c.onFail
	if first {
		c.failed = err
	}
	c.failing.Unlock()
	_ = c.Reset()
	if first && on != nil {
		on(err)
	}
}

// OnFail has f called when the connection is ended by the relay.
func (c *channel) OnFail(f func(error)) {
	c.failing.Lock()
	err := c.failed
	c.onFail = f
	c.failing.Unlock()
	if err != nil {
		f(err)
	}
}

// errLost is the error of a channel whose connection has ended.
var errLost = errors.New("the SSH connection was lost")

// lostWithin is how long a reader waits for the forward to end, so that it is known by then why.
const lostWithin = time.Second

// lost waits until the forward has ended, whose connection has.
func (c *channel) lost() error {
	timer := time.NewTimer(lostWithin)
	defer timer.Stop()
	select {
	case <-c.forward.ended.Done():
	case <-timer.C:
	}
	return errLost
}

// Read returns what the client has sent, and io.EOF after its EOF or CLOSE. If the connection
// has ended it returns an error.
func (c *channel) Read(b []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if len(c.first) > 0 && len(b) > 0 {
		n := copy(b, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	n, err := c.read(b)
	c.bulk = n >= bulkBytes
	return n, err
}

func (c *channel) read(b []byte) (int, error) {
	c.away.Store(0)
	n, err := c.ssh.Read(b)
	if n > 0 {
		c.away.Store(c.connection.front.watch.now())
	}
	if errors.Is(err, io.EOF) && c.connection.lost() {
		err = c.lost()
	}
	return n, err
}

// WaitReadable returns when there is something to read, or an error. In a transfer it does not
// wait: a read would only give what was held then, and another one all that has come since.
func (c *channel) WaitReadable() {
	c.reading.Lock()
	defer c.reading.Unlock()
	if len(c.first) == 0 && !c.bulk {
		n, _ := c.read(c.held[:]) // an error comes again
		c.first = c.held[:n]
		c.bulk = n == heldBytes
	}
}

// Write sends b, within the window and in packets of the client's size.
func (c *channel) Write(b []byte) (int, error) {
	n, err := c.ssh.Write(b)
	if errors.Is(err, io.EOF) {
		err = &net.OpError{Op: "write", Net: "ssh", Err: os.NewSyscallError("write", syscall.EPIPE)}
	}
	return n, err
}

// CloseWrite sends EOF. If the client has closed the channel there is nobody to tell, which is no
// failure: a server that has sent all closes it while its user ends.
func (c *channel) CloseWrite() error {
	if err := c.ssh.CloseWrite(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// Close ends the channel. What was written before has been sent.
func (c *channel) Close() error { return c.close() }

func (c *channel) close() error {
	c.once.Do(func() {
		c.connection.front.watch.remove(c)
		c.connection.userGone()
	})
	return c.ssh.Close()
}

// Reset sends CLOSE without EOF, which is all that SSH has for it.
func (c *channel) Reset() error { return c.close() }

// LocalAddr returns the relay's end of the SSH connection.
func (c *channel) LocalAddr() net.Addr { return c.connection.below.LocalAddr() }

// RemoteAddr returns the client's end.
func (c *channel) RemoteAddr() net.Addr { return c.connection.below.RemoteAddr() }

// SetDeadline fails: the library has no deadlines for channels.
func (c *channel) SetDeadline(time.Time) error { return os.ErrNoDeadline }

// SetReadDeadline fails likewise.
func (c *channel) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// SetWriteDeadline fails likewise.
func (c *channel) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
