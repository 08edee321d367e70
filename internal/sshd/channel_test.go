package sshd_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/seed96252745/relay/internal/conntest"
)

// Each direction ends by itself.
func TestHalfClose(t *testing.T) {
	l, public := dial(t, start(t).ssh, "me").forward(t, "localhost", 0)
	answer := make([]byte, 1<<20)
	_, _ = rand.Read(answer)

	u := user(t, public)
	served := accept(t, l).(interface {
		net.Conn
		CloseWrite() error
	})
	conntest.Write(t, u, "question")
	if err := u.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(served); string(got) != "question" || err != nil {
		t.Fatalf("the server got %q, %v", got, err)
	}
	go func() {
		_, _ = served.Write(answer)
		_ = served.CloseWrite()
	}()
	if got, err := io.ReadAll(u); !bytes.Equal(got, answer) || err != nil {
		t.Fatalf("the user got %d bytes, %v", len(got), err)
	}

	u = user(t, public)
	served = accept(t, l).(interface {
		net.Conn
		CloseWrite() error
	})
	conntest.Write(t, served, "first")
	if err := served.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(u); string(got) != "first" || err != nil {
		t.Fatalf("the user got %q, %v", got, err)
	}
	conntest.Write(t, u, "late")
	if err := u.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(served); string(got) != "late" || err != nil {
		t.Fatalf("the server got %q, %v", got, err)
	}
}

// What was sent before CLOSE arrives before the end.
func TestBytesBeforeClose(t *testing.T) {
	l, public := dial(t, start(t).ssh, "me").forward(t, "localhost", 0)
	for n := range 200 {
		u := user(t, public)
		served := accept(t, l)
		want := bytes.Repeat([]byte{byte(n)}, 1+n*100)
		if _, err := served.Write(want); err != nil {
			t.Fatal(err)
		}
		_ = served.Close() // CLOSE, without EOF
		if got, err := io.ReadAll(u); !bytes.Equal(got, want) || err != nil {
			t.Fatalf("%d: got %d of %d bytes, %v", n, len(got), len(want), err)
		}
		_ = u.Close()
	}
}

// A user who ends in the moment in which the server closes is not reset.
func TestBothEndAtOnce(t *testing.T) {
	l, public := dial(t, start(t).ssh, "me").forward(t, "localhost", 0)
	for n := range 300 {
		u := user(t, public)
		served := accept(t, l)
		conntest.WantPair(t, u, served)
		conntest.Write(t, served, "all")
		go func() { _ = served.Close() }()
		_ = u.CloseWrite()
		if got, err := io.ReadAll(u); string(got) != "all" || err != nil {
			t.Fatalf("%d: got %q, %v", n, got, err)
		}
		_ = u.Close()
	}
}

// When the client is lost its users are reset, and nobody sees the end of the data. What a client
// does that says goodbye, package interop/ssh tries with real ones.
func TestLostClientResetsUsers(t *testing.T) {
	r := start(t)
	for name, end := range map[string]func(*client){
		"reset":     func(c *client) { _ = c.tcp.(*net.TCPConn).SetLinger(0); _ = c.tcp.Close() },
		"TCP's end": func(c *client) { _ = c.tcp.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				c := dial(t, r.ssh, "me")
				l, public := c.forward(t, "localhost", 0)
				var users []*net.TCPConn
				for range 10 {
					u := user(t, public)
					served := accept(t, l)
					conntest.Write(t, served, "the beginning")
					conntest.WantRead(t, u, "the beginning")
					users = append(users, u)
				}
				end(c)
				for _, u := range users {
					conntest.WantReset(t, u)
				}
			}
			r.says("user_done", "endedBy=relay_client", "how=lost")
		})
	}
}

// A user's reset is CLOSE at the client.
func TestUserResets(t *testing.T) {
	l, public := dial(t, start(t).ssh, "me").forward(t, "localhost", 0)
	u := user(t, public)
	served := accept(t, l)
	conntest.WantPair(t, u, served)
	_ = u.SetLinger(0)
	_ = u.Close()
	if n, err := served.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("the server got %d bytes, %v", n, err)
	}
}

// A user whom the client refuses is reset, at once or, while the client may not have noted its
// forward yet, after several tries.
func TestRefusedUser(t *testing.T) {
	r := start(t)
	c := dial(t, r.ssh, "me")
	opens := c.HandleChannelOpen("forwarded-tcpip")
	public, _ := c.request(t, "localhost", 0)
	at := net.JoinHostPort(loopback, itoa(public))
	early := user(t, at)
	for range 4 {
		_ = (<-opens).Reject(ssh.ConnectionFailed, "")
	}
	conntest.WantReset(t, early)
	r.says("user_reset", "dial_failed")
	// A moment later one refusal is final, and the next user is served.
	<-time.After(2 * time.Second)
	late := user(t, at)
	_ = (<-opens).Reject(ssh.ConnectionFailed, "")
	conntest.WantReset(t, late)
	u := user(t, at)
	ch, requests, err := (<-opens).Accept()
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(requests)
	conntest.WantPair(t, u, ch)
}

// A client whose queue of users is full is asked once more, whenever that is.
func TestClientIsFull(t *testing.T) {
	c := dial(t, start(t).ssh, "me")
	opens := c.HandleChannelOpen("forwarded-tcpip")
	public, _ := c.request(t, "localhost", 0)
	<-time.After(2500 * time.Millisecond) // when refusals for other reasons are final
	at := net.JoinHostPort(loopback, itoa(public))
	u := user(t, at)
	_ = (<-opens).Reject(ssh.ResourceShortage, "")
	ch, requests, err := (<-opens).Accept()
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(requests)
	conntest.WantPair(t, u, ch)
	refused := user(t, at)
	for range 2 {
		_ = (<-opens).Reject(ssh.ResourceShortage, "")
	}
	conntest.WantReset(t, refused)
}

// A user who does not read stops nobody else, and the client's window bounds what is held.
func TestStalledUser(t *testing.T) {
	l, public := dial(t, start(t).ssh, "me").forward(t, "localhost", 0)
	stalled := user(t, public)
	served := accept(t, l)
	var filled sync.WaitGroup
	filled.Go(func() { _, _ = io.CopyN(served, rand.Reader, 64<<20) })
	for range 20 {
		u := user(t, public)
		s := accept(t, l)
		conntest.WantPair(t, u, s)
	}
	_ = stalled.Close()
	filled.Wait()
}

// Channel requests are answered, or plink stands still.
func TestChannelRequests(t *testing.T) {
	c := dial(t, start(t).ssh, "me")
	opens := c.HandleChannelOpen("forwarded-tcpip")
	public, _ := c.request(t, "localhost", 0)
	user(t, net.JoinHostPort(loopback, itoa(public)))
	ch, requests, err := (<-opens).Accept()
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(requests)
	if ok, err := ch.SendRequest("winadj@putty.projects.tartarus.org", true, nil); ok || err != nil {
		t.Errorf("got %v, %v", ok, err)
	}
	if ok, _, err := c.SendRequest("keepalive@openssh.com", true, nil); ok || err != nil {
		t.Errorf("a global request: got %v, %v", ok, err)
	}
}
