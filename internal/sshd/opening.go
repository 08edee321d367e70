package sshd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/cpu"

	"github.com/seed96252745/relay/internal/conn"
)

const (
	// maxVersion is the longest line of identification with its end (RFC 4253, section 4.2).
	maxVersion = 255
	// maxKexInit bounds the first packet. Those of real clients have 1 to 2 KiB.
	maxKexInit = 16 << 10
	// kexInit is the number of its message (RFC 4253, section 12).
	kexInit = 20
	// packetHeader is the length of a packet, and that of its padding.
	packetHeader = 4 + 1
)

var (
	errNotSSH  = errors.New("it does not begin as SSH 2.0 does")
	errKexInit = errors.New("its first packet is no KEXINIT")
)

// opening is what a client says before anything is encrypted: who it is, and which algorithms
// it has. All clients send both at once, or as soon as they have the relay's line.
//
// Reading it first keeps those cheap who say no more, as golang.org/x/crypto/ssh takes some
// 40 KiB for a connection from its first byte, and it is why the relay can choose the cipher.
type opening struct {
	read    []byte // all of it, and what came with it
	version string
	ciphers [2][]string // from the client, and to it
}

// readOpening says who the relay is, and reads a client's opening.
func readOpening(c conn.Conn) (*opening, error) {
	if _, err := c.Write([]byte(version + "\r\n")); err != nil {
		return nil, err
	}
	o := new(opening)
	line, err := o.until(c, func(read []byte) int { return 1 + bytes.IndexByte(read, '\n') }, maxVersion)
	if err != nil {
		return nil, err
	}
	o.version = string(bytes.TrimRight(o.read[:line], "\r\n"))
	if !bytes.HasPrefix(o.read, []byte("SSH-2.0-")) && !bytes.HasPrefix(o.read, []byte("SSH-1.99-")) {
		return nil, errNotSSH
	}
	end, err := o.until(c, func(read []byte) int { return packetEnd(read, line) }, line+maxKexInit)
	if err != nil {
		return nil, err
	}
	o.read = bytes.Clone(o.read) // it stays with the connection
	return o, o.parse(o.read[line:end])
}

// until reads until end returns where something ends. It takes no more memory than twice what
// has come.
func (o *opening) until(c conn.Conn, end func(read []byte) int, limit int) (int, error) {
	for {
		at := end(o.read)
		switch {
		case at > 0 && at <= len(o.read):
			return at, nil
		case at > limit || len(o.read) >= limit:
			return 0, errNotSSH
		}
		o.read = slices.Grow(o.read, min(max(len(o.read), 64), limit-len(o.read)))
		n, err := c.Read(o.read[len(o.read):cap(o.read)])
		o.read = o.read[:len(o.read)+n]
		if n == 0 && err != nil {
			return 0, err
		}
	}
}

// packetEnd returns where the packet ends that begins at start, or 0 as long as that has not
// come.
func packetEnd(read []byte, start int) int {
	if len(read) < start+packetHeader {
		return 0
	}
	return start + 4 + int(min(binary.BigEndian.Uint32(read[start:]), 1<<30))
}

// kexInitMessage is KEXINIT (RFC 4253, section 7.1).
type kexInitMessage struct {
	Cookie                   [16]byte `sshtype:"20"`
	KexAlgos, HostKeyAlgos   []string
	CiphersFrom, CiphersTo   []string
	MACsFrom, MACsTo         []string
	CompressFrom, CompressTo []string
	LanguagesFrom            []string
	LanguagesTo              []string
	FirstKexFollows          bool
	Reserved                 uint32
}

// parse reads a packet.
func (o *opening) parse(packet []byte) error {
	if len(packet) < packetHeader+1 || packet[packetHeader] != kexInit {
		return errKexInit
	}
	padding := int(packet[packetHeader-1])
	if len(packet) < packetHeader+padding {
		return errKexInit
	}
	var m kexInitMessage
	if err := ssh.Unmarshal(packet[packetHeader:len(packet)-padding], &m); err != nil {
		return fmt.Errorf("%w: %w", errKexInit, err)
	}
	o.ciphers = [2][]string{m.CiphersFrom, m.CiphersTo}
	return nil
}

// fastAES is that this machine encrypts AES-GCM in hardware.
var fastAES = cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ || cpu.ARM64.HasAES && cpu.ARM64.HasPMULL || cpu.S390X.HasAESGCM

// offer returns the ciphers to offer to the client, or nil for the library's. The client has the
// choice, and OpenSSH takes ChaCha20-Poly1305 if it can, which Go has no fast code for: 2.3 to
// 2.7 times as slow as AES-GCM. So a client that has AES-GCM is offered nothing else where the
// machine is made for it.
func (o *opening) offer() []string {
	if !fastAES {
		return nil
	}
	return both([]string{ssh.CipherAES128GCM, ssh.CipherAES256GCM}, o.ciphers)
}

// both returns those of all that are in both lists.
func both(all []string, lists [2][]string) []string {
	return slices.DeleteFunc(all, func(c string) bool { return !slices.Contains(lists[0], c) || !slices.Contains(lists[1], c) })
}

// opened is a connection of which the opening has been read, and the relay's line was written:
// the library reads it again, and what it writes as that line is left out.
type opened struct {
	conn.Conn
	written int // of the line
}

// reopen returns the connection as the library wants it.
func (o *opening) reopen(c conn.Conn) *opened { return &opened{Conn: conn.Begun(c, o.read)} }

// Unwrap returns the connection inside.
func (c *opened) Unwrap() (inner conn.Conn, sameBytes bool) { return c.Conn, false }

// Write writes b, but for the line. Only one goroutine writes that.
func (c *opened) Write(b []byte) (int, error) {
	skip := min(len(version)+len("\r\n")-c.written, len(b))
	if skip == 0 {
		return c.Conn.Write(b)
	}
	c.written += skip
	if skip == len(b) {
		return skip, nil
	}
	n, err := c.Conn.Write(b[skip:])
	return skip + n, err
}
