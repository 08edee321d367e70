package sshd_test

import (
	"io"
	"net"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/seed96252745/relay/internal/node"
)

// SSH clients that go no further than the opening, or the key exchange, give way to those who
// come after them, of either kind.
func TestHalfOpen(t *testing.T) {
	const slots = 8
	r := start(t, func(c *node.Config) { c.Limits.Handshakes = slots })
	for i := range 3 * slots {
		c, err := net.Dial("tcp", r.ssh)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if i%2 == 0 {
			_, _ = io.WriteString(c, "SSH-2.0-half\r\n")
			continue
		}
		_, _, _, err = ssh.NewClientConn(keptOpen{c}, r.ssh, &ssh.ClientConfig{
			User: "me", HostKeyCallback: func(string, net.Addr, ssh.PublicKey) error { return io.ErrUnexpectedEOF },
		})
		if err == nil {
			t.Fatal("it went further")
		}
	}
	l, public := dial(t, r.ssh, "me", newKey()).forward(t, "localhost", 0)
	echo(t, l)
	talk(t, user(t, public))
	if err := registerLineAt(r.control); err != nil {
		t.Error(err)
	}
}

// keptOpen is a connection that is not closed by its owner.
type keptOpen struct{ net.Conn }

func (keptOpen) Close() error { return nil }

// registerLineAt has one of the relay's own clients register, and go.
func registerLineAt(addr string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	return askForPort(c)
}
