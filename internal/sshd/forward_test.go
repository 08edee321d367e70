package sshd_test

import (
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/port"
)

// One connection serves users, at the port for SSH clients and at that of all relay clients.
func TestForward(t *testing.T) {
	r := start(t)
	for name, addr := range map[string]string{"its own port": r.ssh, "the control port": r.control} {
		t.Run(name, func(t *testing.T) {
			l, public := dial(t, addr, "me").forward(t, "localhost", 0)
			echo(t, l)
			for range 3 {
				talk(t, user(t, public))
			}
		})
	}
}

// Every bind string means the relay's public address, and channels name it as it was asked for.
func TestBindStrings(t *testing.T) {
	r := start(t)
	for _, bind := range []string{"localhost", "", "*", "0.0.0.0", "127.0.0.1", "::", "[::]", "192.0.2.1", "web", "a name with spaces"} {
		c := dial(t, r.ssh, "me")
		users := c.HandleChannelOpen("forwarded-tcpip")
		public, ok := c.request(t, bind, 0)
		if !ok || public == 0 {
			t.Fatalf("%q: got %d, %v", bind, public, ok)
		}
		came := user(t, net.JoinHostPort(loopback, strconv.Itoa(public)))
		opened := <-users
		var payload struct {
			Bind       string
			Port       uint32
			From       string
			Originator uint32
		}
		if err := ssh.Unmarshal(opened.ExtraData(), &payload); err != nil {
			t.Fatal(err)
		}
		from := came.LocalAddr().(*net.TCPAddr)
		if payload.Bind != bind || int(payload.Port) != public || payload.From != loopback || int(payload.Originator) != from.Port {
			t.Errorf("%q: the channel names %+v, and the user is %v", bind, payload, from)
		}
		_ = opened.Reject(ssh.ConnectionFailed, "")
	}
}

// A port that the relay does not open may be any, and the channel names the one that was asked
// for. One that it opens is given, or refused.
func TestAskedPorts(t *testing.T) {
	first := conntest.FreePorts(t, 3)
	r := start(t, func(c *node.Config) { c.Ports = port.Range{First: first, Last: first + 2} })
	c := dial(t, r.ssh, "me")
	users := c.HandleChannelOpen("forwarded-tcpip")
	if public, ok := c.request(t, "localhost", 80); !ok || public != 0 {
		t.Fatalf("the answer to port 80 is %d, %v: only one to port 0 has a port", public, ok)
	}
	if _, ok := c.request(t, "localhost", 80); ok {
		t.Error("port 80 was granted twice")
	}
	granted := r.Endpoints()[0].Port
	user(t, net.JoinHostPort(loopback, strconv.Itoa(granted)))
	opened := <-users
	var payload struct {
		Bind string
		Port uint32
		Rest []byte `ssh:"rest"`
	}
	if err := ssh.Unmarshal(opened.ExtraData(), &payload); err != nil || payload.Port != 80 {
		t.Errorf("the channel names %+v, %v", payload, err)
	}
	_ = opened.Reject(ssh.ConnectionFailed, "")

	exact := first
	if exact == granted {
		exact++
	}
	other := dial(t, r.ssh, "me")
	if _, ok := other.request(t, "localhost", exact); !ok {
		t.Error("a free port was refused")
	}
	if _, ok := dial(t, r.ssh, "me").request(t, "localhost", exact); ok {
		t.Error("a port that somebody has was granted")
	}
}

// A client that was refused a forward is disconnected, or it would do nothing for ever.
func TestRefusedForwardEndsTheConnection(t *testing.T) {
	first := conntest.FreePorts(t, 1)
	r := start(t, func(c *node.Config) { c.Ports = port.Range{First: first, Last: first} })
	dial(t, r.ssh, "me").forward(t, "localhost", 0)
	c := dial(t, r.ssh, "me")
	if _, ok := c.request(t, "localhost", 0); ok {
		t.Fatal("there was no port left")
	}
	if err := c.Wait(); err == nil {
		t.Error("it has ended without an error")
	}
}

// The client may take one forward back. Its users go on, and so do the other forwards.
func TestCancel(t *testing.T) {
	r := start(t)
	c := dial(t, r.ssh, "me")
	one, publicOne := c.forward(t, "localhost", 0)
	other, publicOther := c.forward(t, "localhost", 0)
	echo(t, other)
	u := user(t, publicOne)
	served := accept(t, one)
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	conntest.WantPair(t, u, served)
	talk(t, user(t, publicOther))
	r.says("tunnel_closed", "relay_client_shutdown")
	if n := len(r.Endpoints()); n != 1 {
		t.Errorf("%d ports are open", n)
	}
}

// The name that was asked for is the tunnel's, by the bind string or the user name.
func TestNames(t *testing.T) {
	r := start(t)
	dial(t, r.ssh, "me").forward(t, "web", 80)
	r.says("tunnel_opened", "name=web")
	dial(t, r.ssh, "name+db").forward(t, "localhost", 0)
	r.says("tunnel_opened", "name=db")
	for _, wrong := range []string{"name+a b", "name+", "users+x", "name+a+color+red", "name+a+users", "auth+secret"} {
		if _, ok := dial(t, r.ssh, wrong).request(t, "localhost", 0); ok {
			t.Errorf("%q was granted", wrong)
		}
	}
}

// A relay that shuts down lets the users of all forwards of a connection finish, although some
// forwards have none.
func TestShutdown(t *testing.T) {
	r := start(t)
	c := dial(t, r.ssh, "me")
	busy, public := c.forward(t, "localhost", 0)
	for range 3 {
		c.forward(t, "localhost", 0)
	}
	u := user(t, public)
	served := accept(t, busy)
	conntest.WantPair(t, u, served)
	ended := make(chan error, 1)
	go func() { ended <- r.Shutdown(t.Context()) }()
	for range 50 { // longer than it takes the idle ones
		conntest.WantPair(t, u, served)
		<-time.After(10 * time.Millisecond)
	}
	_ = u.CloseWrite()
	_ = served.Close()
	if rest, err := io.ReadAll(u); len(rest) > 0 || err != nil {
		t.Errorf("the user's end is %q, %v", rest, err)
	}
	_ = u.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	_ = c.Wait()
}
