package node_test

import (
	"encoding/binary"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/sshd"
)

// hostKeys are made once, as that takes a while.
var hostKeys = sync.OnceValues(func() ([]ssh.Signer, error) {
	dir, err := os.MkdirTemp("", "relay-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	return sshd.HostKeys(dir)
})

// withSSH returns the configuration of a relay for SSH clients.
func withSSH(t *testing.T) node.Config {
	t.Helper()
	keys, err := hostKeys()
	check(t, err)
	return node.Config{SSH: sshd.New(sshd.Config{HostKeys: keys, Host: func() string { return "127.0.0.1" }})}
}

const sshVersion = "SSH-2.0-x\r\n"

// packet returns a packet of SSH before encryption (RFC 4253, section 6).
func packet(payload []byte) string {
	padding := 8 - (5+len(payload))%8
	if padding < 4 {
		padding += 8
	}
	p := binary.BigEndian.AppendUint32(nil, uint32(1+len(payload)+padding)) //nolint:gosec // it is short
	return string(append(append(append(p, byte(padding)), payload...), make([]byte, padding)...))
}

// leastKexInit is a KEXINIT with one algorithm of each kind.
func leastKexInit() string {
	return packet(ssh.Marshal(struct {
		Cookie                             [16]byte `sshtype:"20"`
		Kex, HostKey, From, To, MAC1, MAC2 []string
		Compress1, Compress2, Lang1, Lang2 []string
		Follows                            bool
		Reserved                           uint32
	}{
		Kex: []string{ssh.KeyExchangeCurve25519}, HostKey: []string{ssh.KeyAlgoED25519},
		From: []string{ssh.CipherAES128GCM}, To: []string{ssh.CipherAES128GCM},
		Compress1: []string{"none"}, Compress2: []string{"none"},
	}))
}

// usualOpening is what Go's client says first.
func usualOpening(t *testing.T) string {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		_, _, _, _ = ssh.NewClientConn(near, "relay", &ssh.ClientConfig{HostKeyCallback: ssh.InsecureIgnoreHostKey()}) //nolint:gosec // it ends before there is anything to verify
	}()
	go func() { _, _ = far.Write([]byte(sshVersion)) }()
	var said strings.Builder
	b := make([]byte, 64<<10)
	for said.Len() < 500 {
		n, err := far.Read(b)
		check(t, err)
		said.Write(b[:n])
	}
	_ = far.Close()
	return said.String()
}

// amplifySSH is about SSH clients that say less and less of what they have to.
func amplifySSH(t *testing.T, fresh memory) {
	exchange := packet(append([]byte{30, 0, 0, 0, 32, 9}, make([]byte, 31)...)) // RFC 5656, section 4
	for _, tt := range []struct {
		name, sent string
		answer     int // bytes at least
	}{
		{"a byte", "S", 0},
		{"the version", sshVersion, 8},
		{"half of an opening", sshVersion + leastKexInit()[:40], 8},
		{"the least opening", sshVersion + leastKexInit(), 400},
		{"a usual opening", usualOpening(t), 400},
		{"a key exchange", sshVersion + leastKexInit() + exchange, 700},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := startWith(t, withSSH(t))
			m := r.measure(t, fresh, tt.sent, func(c *stranger) { c.read(t, tt.answer) }, func() int { return r.State().Handshakes })
			m.check(t, most)
		})
	}
}

// read reads so many bytes at least.
func (c *stranger) read(t *testing.T, least int) {
	t.Helper()
	for b := make([]byte, 4096); least > 0; {
		n, err := unix.Read(c.fd, b)
		if err != nil || n == 0 {
			t.Fatalf("the relay has ended: %v", err)
		}
		least -= n
	}
}
