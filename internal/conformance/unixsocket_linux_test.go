package conformance_test

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/relaytest"
)

// halfCloser is a connection of either kind.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// eachUnixPair runs the test for every protocol over every transport, with a user and the
// server behind a Unix socket who are joined.
func eachUnixPair(t *testing.T, test func(t *testing.T, user *net.TCPConn, server *net.UnixConn)) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		eachTransport(t, func(t *testing.T, r *relaytest.Relay, encrypt *tls.Config) {
			l := listenUnix(t, filepath.Join(t.TempDir(), "server.sock"))
			tun := forward(t, r.Addr(), "unix:"+l.Addr().String(), protocol, encrypt)
			user, server := pairUnix(t, tun, l)
			test(t, user, server)
		})
	})
}

func listenUnix(t *testing.T, name string) *net.UnixListener {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	must(t, l.SetDeadline(time.Now().Add(patience)))
	return l
}

// pairUnix connects a user, and returns both ends. Probes connect, too, and say nothing.
func pairUnix(t *testing.T, tun *tunnel, l *net.UnixListener) (*net.TCPConn, *net.UnixConn) {
	t.Helper()
	user := dial(t, tun.public)
	must(t, send(user, newStream(9), 1))
	for {
		server, err := l.AcceptUnix()
		must(t, err)
		t.Cleanup(func() { _ = server.Close() })
		must(t, server.SetDeadline(time.Now().Add(patience)))
		err = expect(server, newStream(9), 1)
		if err == nil {
			return user, server
		}
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
	}
}

// Many bytes go both ways at a time, and both ends arrive.
func TestUnixSocketData(t *testing.T) {
	const size = 16 << 20
	eachUnixPair(t, func(t *testing.T, user *net.TCPConn, server *net.UnixConn) {
		sent := make(chan error, 2)
		for seed, conn := range []halfCloser{user, server} {
			go func() { sent <- errors.Join(send(conn, newStream(byte(seed+1)), size), conn.CloseWrite()) }()
		}
		received := make(chan error, 1)
		go func() { received <- receiveAll(server, newStream(1), size) }()
		must(t, receiveAll(user, newStream(2), size), <-received, <-sent, <-sent)
	})
}

func TestUnixSocketHalfClose(t *testing.T) {
	const answer = 4 << 20
	eachUnixPair(t, func(t *testing.T, user *net.TCPConn, server *net.UnixConn) {
		must(t, send(user, newStream(1), 1000), user.CloseWrite(), receiveAll(server, newStream(1), 1000))
		sent := make(chan error, 1)
		go func() { sent <- errors.Join(send(server, newStream(2), answer), server.CloseWrite()) }()
		must(t, receiveAll(user, newStream(2), answer), <-sent)
	})
	eachUnixPair(t, func(t *testing.T, user *net.TCPConn, server *net.UnixConn) {
		must(t, send(server, newStream(1), 1000), server.CloseWrite(), receiveAll(user, newStream(1), 1000))
		sent := make(chan error, 1)
		go func() { sent <- errors.Join(send(user, newStream(2), answer), user.CloseWrite()) }()
		must(t, receiveAll(server, newStream(2), answer), <-sent)
	})
}

// A server that closes after its answer, as most do, is an end to the user, with every byte
// before it. What the user sends after that is answered with a reset, as over TCP.
func TestUnixSocketServerCloses(t *testing.T) {
	const answer = 4 << 20
	eachUnixPair(t, func(t *testing.T, user *net.TCPConn, server *net.UnixConn) {
		sent := make(chan error, 1)
		go func() { sent <- errors.Join(send(server, newStream(2), answer), server.Close()) }()
		must(t, receiveAll(user, newStream(2), answer), <-sent)
		if err := send(user, newStream(3), 1<<30); !isReset(err) {
			t.Errorf("write after the server has closed: %v, want a reset", err)
		}
	})
}

// A server that goes away before it has read all, as one that is killed may do, is a reset
// to the user, behind what the server has sent.
func TestUnixSocketServerFails(t *testing.T) {
	for _, size := range resetAt {
		t.Run(fmt.Sprint("at ", size), func(t *testing.T) {
			eachUnixPair(t, func(t *testing.T, user *net.TCPConn, server *net.UnixConn) {
				must(t, send(user, newStream(1), 1000))
				awaitUnread(t, server, 1000)
				sent := make(chan error, 1)
				go func() { sent <- errors.Join(send(server, newStream(2), size), server.Close()) }()
				n, err := receive(user, newStream(2))
				if n > size || !isReset(err) {
					t.Errorf("the user received %d bytes and %v, want at most %d and a reset", n, err, size)
				}
				must(t, <-sent)
			})
		})
	}
}

// awaitUnread waits until so many bytes are there to be read.
func awaitUnread(t *testing.T, server *net.UnixConn, n int) {
	t.Helper()
	raw, err := server.SyscallConn()
	must(t, err)
	err = raw.Read(func(fd uintptr) bool {
		unread, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
		return err != nil || unread >= n
	})
	must(t, err)
}

// A Unix socket has no reset: a user's is an end to the server that reads, after what came
// before it, and an error to one that has more to say.
func TestUnixSocketUserIsReset(t *testing.T) {
	eachUnixPair(t, func(t *testing.T, user *net.TCPConn, server *net.UnixConn) {
		must(t, send(user, newStream(1), 1000), expect(server, newStream(1), 1000))
		reset(user)
		must(t, receiveAll(server, newStream(2), 0))
		if err := send(server, newStream(3), 1<<30); !errors.Is(err, unix.EPIPE) {
			t.Errorf("write: %v, want %v", err, unix.EPIPE)
		}
	})
	eachUnixPair(t, func(t *testing.T, user *net.TCPConn, server *net.UnixConn) {
		sent := make(chan error, 1)
		go func() { sent <- send(server, newStream(1), 1<<30) }()
		must(t, expect(user, newStream(1), 1000))
		reset(user)
		if err := <-sent; !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("write: %v, want an error of a connection that is gone", err)
		}
	})
}

// A receiver that does not read stops the sender, on either side.
func TestUnixSocketBackPressure(t *testing.T) {
	eachUnixPair(t, func(t *testing.T, user *net.TCPConn, server *net.UnixConn) {
		for seed, pair := range [][2]halfCloser{{user, server}, {server, user}} {
			from, to := pair[0], pair[1]
			var written int64
			s := newStream(byte(seed + 1))
			must(t, from.SetWriteDeadline(deadlineSoon()))
			for {
				const portion = 64 << 10
				b := make([]byte, portion)
				_, _ = s.Read(b)
				n, err := from.Write(b)
				written += int64(n)
				if err != nil {
					break
				}
				if written > 256<<20 {
					t.Fatal("the sender was never stopped")
				}
			}
			must(t, from.SetWriteDeadline(time.Now().Add(patience)), expect(to, newStream(byte(seed+1)), written))
		}
	})
}

// A server that is not there resets the user, and comes into use as soon as it is there.
func TestUnixSocketIsMissing(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		path := filepath.Join(t.TempDir(), "server.sock")
		tun := forward(t, relaytest.Start(t).Addr(), "unix:"+path, protocol, nil)
		for range 3 {
			if err := readByte(tun.public); !isReset(err) {
				t.Fatalf("the user read %v, want a reset", err)
			}
		}
		l := listenUnix(t, path)
		user, server := pairUnix(t, tun, l)
		must(t, send(server, newStream(1), 10), expect(user, newStream(1), 10))
	})
}

// A socket may have a name of its own instead of a path.
func TestAbstractSocket(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		l := listenUnix(t, "@relay-conformance-"+rand.Text())
		tun := forward(t, relaytest.Start(t).Addr(), "unix:"+l.Addr().String(), protocol, nil)
		user, server := pairUnix(t, tun, l)
		must(t, send(server, newStream(1), 10), server.Close(), receiveAll(user, newStream(1), 10))
	})
}
