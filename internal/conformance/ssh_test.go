package conformance_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/sshd"
	"github.com/seed96252745/relay/internal/transport"
)

// overSSH is the name of tests whose relay client is an SSH client, on the library that most
// write one on.
const overSSH = "ssh"

// forwardSSH runs a relay with a front for SSH clients, and an SSH client before a local server,
// until the test ends.
func forwardSSH(t *testing.T, local string) *tunnel {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	key, err := ssh.NewSignerFromKey(private)
	must(t, err)
	s, err := node.Relay(node.Config{
		Bind: "127.0.0.1", Ports: port.Range{First: 20000, Last: 29999},
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		SSH:    sshd.New(sshd.Config{HostKeys: []ssh.Signer{key}, Host: func() string { return "" }}),
	})
	must(t, err)
	l, err := transport.ListenRelayClients("127.0.0.1:0")
	must(t, err)
	engine, err := join.NewEngine()
	must(t, err)
	var running sync.WaitGroup
	running.Go(func() { _ = s.ServeFront(l) }) // its error says only that it was closed
	client, err := ssh.Dial("tcp", l.Addr().String(), &ssh.ClientConfig{
		User: "me", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.FixedHostKey(key.PublicKey()),
	})
	must(t, err)
	users, err := client.Listen("tcp", "localhost:0")
	must(t, err)
	server, err := transport.ParseLocalAddr(local)
	must(t, err)
	set := engine.NewSet(nil)
	ctx, cancel := context.WithCancel(context.Background())
	running.Go(func() {
		for {
			user, err := users.Accept()
			if err != nil {
				return
			}
			joinSSH(ctx, set, server, sshUser{user.(sshChannel)})
		}
	})
	t.Cleanup(func() {
		cancel() // the library shows the loss of the connection as the end of the data
		_ = client.Close()
		s.Close()
		engine.Close()
		running.Wait()
	})
	return &tunnel{public: net.JoinHostPort("127.0.0.1", strconv.Itoa(users.Addr().(*net.TCPAddr).Port))}
}

func joinSSH(ctx context.Context, set *join.Set, server transport.LocalAddr, user conn.Conn) {
	c, wait := server.Start(nil)
	if c == nil {
		var err error
		if c, err = wait(ctx); err != nil {
			_ = user.Reset()
			return
		}
	}
	set.Join(ctx, user, c, join.Options{}, func(join.Result) {})
}

// sshChannel is what the library's listener accepts.
type sshChannel interface {
	net.Conn
	CloseWrite() error
}

// sshUser is a user's connection at the client. What the client cannot tell from an end is one.
type sshUser struct{ sshChannel }

// Reset closes the channel, which is all that SSH has for it.
func (u sshUser) Reset() error { return u.Close() }

// CloseWrite ends this direction, unless the relay has closed the channel.
func (u sshUser) CloseWrite() error {
	if err := u.sshChannel.CloseWrite(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// SetDeadline and its like fail: channels have none.
func (u sshUser) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (u sshUser) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (u sshUser) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
