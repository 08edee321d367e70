package sshd_test

import (
	"io"
	"testing"

	"golang.org/x/crypto/ssh"
)

// Extended data of a client, which nobody reads, ends the channel that it comes on: the library
// would hold 2 MiB of it for each.
func TestExtendedData(t *testing.T) {
	r := start(t)
	c := dial(t, r.ssh, "me", newKey())
	users := c.HandleChannelOpen("forwarded-tcpip")
	port, ok := c.request(t, "localhost", 0)
	if !ok {
		t.Fatal("refused")
	}
	u := user(t, loopback+":"+itoa(port))
	ch, requests, err := (<-users).Accept()
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(requests)
	session, others, err := c.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(others)
	for name, ch := range map[string]ssh.Channel{"a user": ch, "a session": session} {
		if _, err := ch.Stderr().Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, ch); n > 0 || err != nil { // the relay's CLOSE is io.EOF
			t.Errorf("%s: got %d bytes, %v", name, n, err)
		}
	}
	if _, err := u.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("the user's connection ends with %v", err)
	}
	r.says("user_done", "extended data")
}
