package sshd

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/seed96252745/relay/internal/conn"
)

// channel is a user's connection: a channel of SSH that ends as TCP does, as far as SSH has it.
type channel struct {
	connection *connection
	ssh        ssh.Channel

	reading sync.Mutex // guards what follows
	first   []byte     // what WaitReadable has read; aliases held
	held    [1]byte
}

var (
	_ conn.Conn       = (*channel)(nil)
	_ conn.ReadWaiter = (*channel)(nil)
)

// newChannel answers the requests on a channel: plink sends some during an upload, and waits
// for the answers.
func newChannel(c *connection, ch ssh.Channel, requests <-chan *ssh.Request) *channel {
	c.running.Go(func() { ssh.DiscardRequests(requests) })
	return &channel{connection: c, ssh: ch}
}

// errLost is the error of a channel whose connection has failed.
var errLost = &net.OpError{Op: "read", Net: "ssh", Err: os.NewSyscallError("read", syscall.ECONNRESET)}

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
	return c.read(b)
}

func (c *channel) read(b []byte) (int, error) {
	n, err := c.ssh.Read(b)
	if errors.Is(err, io.EOF) && c.connection.lost() {
		err = errLost
	}
	return n, err
}

// WaitReadable returns when there is something to read, or an error.
func (c *channel) WaitReadable() {
	c.reading.Lock()
	defer c.reading.Unlock()
	if len(c.first) == 0 {
		n, _ := c.read(c.held[:]) // an error comes again
		c.first = c.held[:n]
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

// CloseWrite sends EOF.
func (c *channel) CloseWrite() error { return c.ssh.CloseWrite() }

// Close ends the channel. What was written before has been sent.
func (c *channel) Close() error { return c.ssh.Close() }

// Reset sends CLOSE without EOF, which is all that SSH has for it.
func (c *channel) Reset() error { return c.ssh.Close() }

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
