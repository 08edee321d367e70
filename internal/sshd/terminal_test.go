package sshd_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/port"
)

// screen is a session, and what it has shown.
type screen struct {
	*testing.T
	*ssh.Session
	in    io.WriteCloser
	shown *logged
}

// open opens a session without a shell. Size is that of a terminal, or zero for none.
func (c *client) open(t *testing.T, width, height int) *screen {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	in, err := s.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out := new(logged)
	s.Stdout, s.Stderr = out, out
	if width > 0 {
		if err := s.RequestPty("xterm", height, width, nil); err != nil {
			t.Fatal(err)
		}
	}
	return &screen{t, s, in, out}
}

// shell asks for a shell.
func (s *screen) shell() *screen {
	s.Helper()
	if err := s.Shell(); err != nil {
		s.Fatal(err)
	}
	return s
}

func (s *screen) shows(text string) {
	s.Helper()
	eventually(s.T, fmt.Sprintf("shown: %q", text), func() bool { return strings.Contains(s.shown.String(), text) })
}

// A script reads the address, and nothing else; whether the forward or the shell comes first.
func TestAddressForScripts(t *testing.T) {
	r := start(t)
	c := dial(t, r.ssh, "me")
	l, public := c.forward(t, "localhost", 0)
	echo(t, l)
	s := c.open(t, 0, 0).shell()
	s.shows(public + "\n")
	talk(t, user(t, public))
	r.says("user_joined")
	_, named := c.forward(t, "web", 0)
	s.shows(public + "\n" + named + " web\n")
	if got := s.shown.String(); got != public+"\n"+named+" web\n" {
		t.Errorf("it shows %q", got)
	}
	_ = s.in.Close() // which ends nothing
	talk(t, user(t, public))

	other := dial(t, r.ssh, "me")
	before := other.open(t, 0, 0).shell()
	_, late := other.forward(t, "localhost", 0)
	before.shows(late + "\n")
}

// On a terminal people see the address, a code for a phone if there is room, and their users.
func TestTerminal(t *testing.T) {
	r := start(t)
	for _, tt := range []struct {
		width, height int
		code          bool
	}{{80, 24, true}, {200, 60, true}, {40, 10, false}, {20, 60, false}, {1, 1, false}, {0x7fffffff, 0x7fffffff, true}} {
		c := dial(t, r.ssh, "me")
		l, public := c.forward(t, "localhost", 0)
		echo(t, l)
		s := c.open(t, tt.width, tt.height).shell()
		s.shows("A web server is at http://" + public + " now. Ctrl-C takes it offline.\r\n")
		if tt.code {
			s.shows("▀")
		}
		u := user(t, public)
		talk(t, u)
		s.shows(u.LocalAddr().String() + " has come\r\n")
		_ = u.Close()
		s.shows(u.LocalAddr().String() + " has gone after ")
		s.shows("5 B from the user, 5 B to the user, ended by user (fin)\r\n")
		if has := strings.Contains(s.shown.String(), "▀"); has != tt.code {
			t.Errorf("%dx%d: a code is shown: %v", tt.width, tt.height, has)
		}
		if strings.Contains(strings.ReplaceAll(s.shown.String(), "\r\n", ""), "\n") {
			t.Errorf("a line does not return: %q", s.shown)
		}
	}
}

// Ctrl-C and Ctrl-D end it for good, although a user is connected.
func TestEndKeys(t *testing.T) {
	r := start(t)
	for _, key := range []string{"\x03", "\x04", "x\x03"} {
		c := dial(t, r.ssh, "me")
		l, public := c.forward(t, "localhost", 0)
		echo(t, l)
		u := user(t, public)
		talk(t, u)
		s := c.open(t, 80, 24).shell()
		conntest.Write(t, s.in, key)
		if err := s.Wait(); err != nil {
			t.Errorf("%q: the status is %v", key, err)
		}
		_ = c.Wait()
		conntest.WantReset(t, u)
	}
	r.says("tunnel_closed", "relay_client_shutdown")
}

// Who has asked for no forward is told how.
func TestNoForward(t *testing.T) {
	r := start(t)
	s := dial(t, r.ssh, "me").open(t, 80, 24).shell()
	s.shows("nothing is online yet: your client has asked for no forward\r\n")
	s.shows("-R 0:localhost:8080 127.0.0.1\r\n")
}

// A refusal is told, with a status if it stays, and without one if it may pass.
func TestRefusals(t *testing.T) {
	first := conntest.FreePorts(t, 1)
	r := start(t, func(c *node.Config) { c.Ports = port.Range{First: first, Last: first} })
	wrong := dial(t, r.ssh, "name+a+b")
	if _, ok := wrong.request(t, "localhost", 0); ok {
		t.Fatal("it was granted")
	}
	s := wrong.open(t, 80, 24).shell()
	s.shows("refused: the user name has a key without a value")
	var status *ssh.ExitError
	if err := s.Wait(); !errors.As(err, &status) || status.ExitStatus() != 1 {
		t.Errorf("the status is %v", err)
	}
	dial(t, r.ssh, "me").forward(t, "localhost", 0)
	full := dial(t, r.ssh, "me")
	s = full.open(t, 80, 24).shell()
	if _, ok := full.request(t, "localhost", 0); ok {
		t.Fatal("it was granted")
	}
	s.shows("refused: ")
	var missing *ssh.ExitMissingError
	if err := s.Wait(); !errors.As(err, &missing) {
		t.Errorf("the status is %v", err)
	}
}

func TestCommands(t *testing.T) {
	r := start(t)
	key := newKey()
	run := func(command string, keys ...ssh.Signer) (string, int) {
		t.Helper()
		s := dial(t, r.ssh, "me", keys...).open(t, 0, 0)
		err := s.Session.Run(command)
		var status *ssh.ExitError
		switch {
		case errors.As(err, &status):
			return s.shown.String(), status.ExitStatus()
		case err != nil:
			t.Fatal(err)
		}
		return s.shown.String(), 0
	}
	if got, status := run("status", key); got != "nothing is online with this key or token\n" || status != 0 {
		t.Errorf("got %q, %d", got, status)
	}
	_, public := dial(t, r.ssh, "me", key).forward(t, "web", 0)
	if got, status := run("status", key); !strings.HasPrefix(got, public+"  users 0  since ") || !strings.HasSuffix(got, "  name web\n") || status != 0 {
		t.Errorf("got %q, %d", got, status)
	}
	for name, keys := range map[string][]ssh.Signer{"another key": {newKey()}, "no key": nil} {
		if got, _ := run("status", keys...); strings.Contains(got, public) {
			t.Errorf("%s sees %q", name, got)
		}
	}
	if got, status := run(" help "); !strings.Contains(got, "-R web:80:localhost:8080 127.0.0.1\n") || status != 0 {
		t.Errorf("got %q, %d", got, status)
	}
	if got, status := run("rm -rf /"); !strings.Contains(got, "two commands, status and help") || status != 2 {
		t.Errorf("got %q, %d", got, status)
	}
}

// A client that does not read holds nobody up, and is told how much it has missed.
func TestManyUsersOnSlowTerminal(t *testing.T) {
	r := start(t)
	c := dial(t, r.ssh, "me")
	l, public := c.forward(t, "localhost", 0)
	echo(t, l)
	ch, requests, err := c.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(requests)
	if ok, err := ch.SendRequest("pty-req", true, ssh.Marshal(struct {
		Term                string
		Width, Height, X, Y uint32
		Modes               string
	}{"xterm", 80, 24, 0, 0, ""})); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if ok, err := ch.SendRequest("shell", true, nil); !ok || err != nil {
		t.Fatal(ok, err)
	}
	var users sync.WaitGroup
	for range 50 {
		users.Go(func() {
			for range 10 {
				u, err := net.Dial("tcp", public)
				if err != nil {
					t.Error(err)
					return
				}
				_ = u.SetDeadline(time.Now().Add(patience))
				if err := tryTalk(u); err != nil {
					t.Error(err)
				}
				_ = u.Close()
			}
		})
	}
	users.Wait()
	got := make(chan string)
	go func() {
		var all bytes.Buffer
		b := make([]byte, 4096)
		for {
			n, err := ch.Read(b)
			all.Write(b[:n])
			if err != nil {
				got <- all.String()
				return
			}
		}
	}()
	conntest.Write(t, ch, "\x03")
	if text := <-got; !strings.Contains(text, "has come\r\n") {
		t.Errorf("it shows %q", text)
	}
}
