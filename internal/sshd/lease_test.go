package sshd_test

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/node"
)

// The same key has the same port again, whenever the client comes back.
func TestKeyKeepsPort(t *testing.T) {
	r := start(t)
	key := newKey()
	var first string
	for range 3 {
		c := dial(t, r.ssh, "me", key)
		_, public := c.forward(t, "localhost", 0)
		if first == "" {
			first = public
		}
		if public != first {
			t.Fatalf("it had %s, and has %s", first, public)
		}
		_ = c.Close()
		r.says("tunnel_closed")
	}
	// What else is asked for is another tunnel, and so is what others ask for.
	_, named := dial(t, r.ssh, "me", key).forward(t, "web", 0)
	_, others := dial(t, r.ssh, "me", newKey()).forward(t, "localhost", 0)
	if named == first || others == first {
		t.Errorf("%s was given to %s and %s", first, named, others)
	}
}

// The owner of a token has the same port again, no matter who else is there.
func TestTokenKeepsPort(t *testing.T) {
	file := tokens(t, "bob "+auth.Hash("secret of bob"), "carol "+auth.Hash("secret of carol"))
	r := start(t, func(c *node.Config) { c.Tokens = file })
	forward := func(secret string) (c *client, public string) {
		t.Helper()
		tcp, err := net.Dial("tcp", r.ssh)
		if err != nil {
			t.Fatal(err)
		}
		conn, channels, requests, err := ssh.NewClientConn(tcp, r.ssh, &ssh.ClientConfig{
			User: "me", Auth: []ssh.AuthMethod{ssh.Password(secret)}, HostKeyCallback: ssh.FixedHostKey(hostKey().PublicKey()),
		})
		if err != nil {
			t.Fatal(err)
		}
		c = &client{ssh.NewClient(conn, channels, requests), tcp}
		t.Cleanup(func() { _ = c.Close() })
		_, public = c.forward(t, "localhost", 0)
		return c, public
	}
	bob, ofBob := forward("secret of bob")
	carol, ofCarol := forward("secret of carol")
	for _, c := range []*client{bob, carol} {
		_ = c.Close()
	}
	eventually(t, "both are gone", func() bool { return strings.Count(r.log.String(), "tunnel_closed") == 2 })
	if _, again := forward("secret of carol"); again != ofCarol {
		t.Errorf("carol had %s, and has %s", ofCarol, again)
	}
	if _, again := forward("secret of bob"); again != ofBob {
		t.Errorf("bob had %s, and has %s", ofBob, again)
	}
}

// Users who come while the client is away wait for it.
func TestUsersWaitForClient(t *testing.T) {
	r := start(t)
	key := newKey()
	c := dial(t, r.ssh, "me", key)
	_, public := c.forward(t, "localhost", 0)
	_ = c.Close()
	r.says("tunnel_closed")
	waiting := user(t, public)
	l, again := dial(t, r.ssh, "me", key).forward(t, "localhost", 0)
	if again != public {
		t.Fatalf("it had %s, and has %s", public, again)
	}
	served := accept(t, l)
	conntest.WantPair(t, waiting, served)
}

// Two clients with one key have a port each, for as long as both live, and so have two forwards
// of one client. Which has which is the order in which they come.
func TestOneKeyTwice(t *testing.T) {
	r := start(t)
	key := newKey()
	first := dial(t, r.ssh, "me", key)
	a, one := first.forward(t, "localhost", 0)
	echo(t, a)
	_, two := first.forward(t, "localhost", 0)
	second := dial(t, r.ssh, "me", key)
	_, three := second.forward(t, "localhost", 0)
	if one == two || two == three || one == three {
		t.Fatalf("they have %s, %s and %s", one, two, three)
	}
	talk(t, user(t, one))
	_ = first.Close()
	eventually(t, "the first is gone", func() bool {
		c, err := tryDial(r.ssh, "me", key)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, public := c.forward(t, "localhost", 0)
		return public == one
	})
}

// All at once is as one after the other.
func TestOneKeyAtOnce(t *testing.T) {
	r := start(t)
	key := newKey()
	var mu sync.Mutex
	ports := make(map[string]bool)
	var running sync.WaitGroup
	for range 8 {
		c := dial(t, r.ssh, "me", key)
		running.Go(func() {
			l, err := c.Listen("tcp", "localhost:0")
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			ports[l.Addr().String()] = true
		})
	}
	running.Wait()
	if len(ports) != 8 {
		t.Errorf("8 clients have %d ports: %v", len(ports), ports)
	}
}

// A client that has the port and does not answer gives way to another one with its key.
func TestTakeover(t *testing.T) {
	r := start(t)
	key := newKey()
	through := newPipe(t, r.ssh)
	_, public := dial(t, through.addr, "me", key).forward(t, "localhost", 0)
	through.stop(t)
	since := time.Now()
	l, again := dial(t, r.ssh, "me", key).forward(t, "localhost", 0)
	if again != public {
		t.Errorf("it had %s, and has %s", public, again)
	}
	t.Logf("after %v", time.Since(since))
	echo(t, l)
	talk(t, user(t, again))
}

// pipe is a way to an address that can be stopped.
type pipe struct {
	addr    string
	mu      sync.Mutex // held while it is stopped
	running sync.WaitGroup
}

func newPipe(t *testing.T, to string) *pipe {
	t.Helper()
	l, err := net.Listen("tcp", loopback+":0")
	if err != nil {
		t.Fatal(err)
	}
	p := &pipe{addr: l.Addr().String()}
	p.running.Go(func() {
		near, err := l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		copied := func(dst, src net.Conn) func() {
			return func() {
				defer dst.Close()
				b := make([]byte, 4096)
				for {
					n, err := src.Read(b)
					p.mu.Lock()
					_, _ = dst.Write(b[:n])
					p.mu.Unlock()
					if err != nil {
						return
					}
				}
			}
		}
		p.running.Go(copied(far, near))
		p.running.Go(copied(near, far))
		t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.running.Wait()
	})
	return p
}

// stop has nothing come through any more, until the end of the test.
func (p *pipe) stop(t *testing.T) {
	p.mu.Lock()
	t.Cleanup(p.mu.Unlock)
}
