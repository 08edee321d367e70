package sshd_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/sshd"
	"github.com/seed96252745/relay/internal/transport"
)

const (
	loopback = "127.0.0.1"
	patience = 30 * time.Second // for what takes no time
)

// A relay in tests has a host key of one kind: making an RSA one takes a second.
var hostKey = sync.OnceValue(newKey)

func newKey() ssh.Signer {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	key, err := ssh.NewSignerFromKey(private)
	if err != nil {
		panic(err)
	}
	return key
}

// relay is a relay with a port for SSH clients, and its log.
type relay struct {
	*testing.T
	*server.Server
	ssh, control string // addresses
	log          *logged
	served       sync.WaitGroup
}

// logged is a log of several goroutines.
type logged struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// start starts a relay that is ended with the test.
func start(t *testing.T, changes ...func(*node.Config)) *relay {
	t.Helper()
	r := &relay{T: t, log: new(logged)}
	c := node.Config{
		Bind: loopback, Ports: port.Range{First: 20000, Last: 29999}, Limits: admission.Limits{UsersPerSecond: -1, UsersPerSource: -1},
		Logger: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Leases: lease.Forget{},
		SSH: sshd.New(sshd.Config{HostKeys: []ssh.Signer{hostKey()}, Host: func() string { return loopback }}),
	}
	for _, change := range changes {
		change(&c)
	}
	var err error
	if r.Server, err = node.Relay(c); err != nil {
		t.Fatal(err)
	}
	r.ssh, r.control = r.listen(r.ServeFront), r.listen(r.Serve)
	t.Cleanup(r.close)
	return r
}

func (r *relay) listen(serve func(conn.Listener) error) string {
	r.Helper()
	l, err := transport.ListenRelayClients(loopback + ":0")
	if err != nil {
		r.Fatal(err)
	}
	r.served.Go(func() { _ = serve(l) })
	return l.Addr().String()
}

func (r *relay) close() {
	r.Close()
	r.served.Wait()
}

// client is an SSH client with a connection of its own, and what the relay opens there.
type client struct {
	*ssh.Client
	tcp net.Conn
}

// dial connects a client that shows a key, or nothing.
func dial(t *testing.T, addr, user string, keys ...ssh.Signer) *client {
	t.Helper()
	c, err := tryDial(addr, user, keys...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func tryDial(addr, user string, keys ...ssh.Signer) (*client, error) {
	tcp, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	methods := []ssh.AuthMethod{ssh.KeyboardInteractive(func(_, _ string, _ []string, _ []bool) ([]string, error) { return nil, nil })}
	if len(keys) > 0 {
		methods = append([]ssh.AuthMethod{ssh.PublicKeys(keys...)}, methods...)
	}
	c, channels, requests, err := ssh.NewClientConn(tcp, addr, &ssh.ClientConfig{User: user, Auth: methods, HostKeyCallback: ssh.FixedHostKey(hostKey().PublicKey())})
	if err != nil {
		_ = tcp.Close()
		return nil, err
	}
	return &client{ssh.NewClient(c, channels, requests), tcp}, nil
}

// forward asks for a forward, and returns its public address.
func (c *client) forward(t *testing.T, bind string, asked int) (l net.Listener, public string) {
	t.Helper()
	l, err := c.Listen("tcp", net.JoinHostPort(bind, strconv.Itoa(asked)))
	if err != nil {
		t.Fatal(err)
	}
	_, number, _ := net.SplitHostPort(l.Addr().String())
	return l, net.JoinHostPort(loopback, number)
}

// request asks for a forward in bytes of its own, and returns the answer.
func (c *client) request(t *testing.T, bind string, asked int) (public int, ok bool) {
	t.Helper()
	ok, answer, err := c.SendRequest("tcpip-forward", true, ssh.Marshal(struct {
		Bind string
		Port uint32
	}{bind, uint32(asked)})) //nolint:gosec // ports of tests
	if err != nil {
		t.Fatal(err)
	}
	if len(answer) == 4 {
		public = int(binary.BigEndian.Uint32(answer))
	}
	return public, ok
}

// user connects to a public address.
func user(t *testing.T, public string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", public)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// accept returns the connection of the next user.
func accept(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	type accepted struct {
		c   net.Conn
		err error
	}
	came := make(chan accepted, 1)
	go func() {
		c, err := l.Accept()
		came <- accepted{c, err}
	}()
	select {
	case a := <-came:
		if a.err != nil {
			t.Fatal(a.err)
		}
		t.Cleanup(func() { _ = a.c.Close() })
		return a.c
	case <-time.After(patience):
		t.Fatal("no user has come")
		return nil
	}
}

// echo sends back what users send, until the listener is closed.
func echo(t *testing.T, l net.Listener) {
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
				_ = c.(interface{ CloseWrite() error }).CloseWrite()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
}

// talk has bytes come back.
func talk(t *testing.T, c io.ReadWriter) {
	t.Helper()
	if err := tryTalk(c); err != nil {
		t.Fatal(err)
	}
}

func tryTalk(c io.ReadWriter) error {
	if _, err := io.WriteString(c, "hello"); err != nil {
		return err
	}
	b := make([]byte, 5)
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	if string(b) != "hello" {
		return errors.New("it came back as " + string(b))
	}
	return nil
}

// eventually waits until ok returns true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for since := time.Now(); !ok(); <-tick.C {
		if time.Since(since) > patience {
			t.Fatalf("still not: %s", what)
		}
	}
}

// says waits until the log has a line with all words.
func (r *relay) says(words ...string) {
	r.Helper()
	eventually(r.T, "in the log: "+strings.Join(words, " ")+"\n"+r.log.String(), func() bool {
		for line := range strings.Lines(r.log.String()) {
			all := true
			for _, w := range words {
				all = all && strings.Contains(line, w)
			}
			if all {
				return true
			}
		}
		return false
	})
}

func itoa(n int) string { return strconv.Itoa(n) }
