package sshd

import (
	"golang.org/x/crypto/ssh"

	"github.com/seed96252745/relay/internal/conn"
)

// What the fuzz targets reach.

const MaxOpening = maxVersion + maxKexInit

// ReadOpening returns a connection of which the opening was read, as the library gets it, and
// how many bytes that took.
func ReadOpening(c conn.Conn) (reopened conn.Conn, held int, err error) {
	o, err := readOpening(c)
	if err != nil {
		return nil, 0, err
	}
	o.offer()
	return o.reopen(c), cap(o.read), nil
}

// Version is the line that the relay begins with.
const Version = version + "\r\n"

// ParseWish parses a user name.
func ParseWish(user string) error {
	_, err := parseWish(user)
	return err
}

// NameOf returns the name that a bind string asks for.
func NameOf(bind string) (string, bool) { return nameOf(bind) }

// ParseForward parses the payload of tcpip-forward.
func ParseForward(payload []byte) (bind string, port uint32, err error) {
	var k forwardKey
	err = ssh.Unmarshal(payload, &k)
	return k.Bind, k.Port, err
}

// Show has a page read the payloads of pty-req, window-change and env, and returns what it shows
// of a forward.
func Show(pty, change, env []byte, name string) string {
	var p page
	p.open(pty)
	p.resize(change)
	p.set(env)
	return p.forward(about{address: "relay.example.com:20001", name: name})
}

// ReadHostKey reads a file with a host key.
func ReadHostKey(path string) (ssh.Signer, error) { return readHostKey(path) }
