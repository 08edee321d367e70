package transport_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/transport"
)

func TestParseLocalAddr(t *testing.T) {
	for _, good := range []string{"localhost:22", "[::1]:80", "db.example:5432", "unix:/run/web.sock", "unix:web.sock", "unix:./@web"} {
		if addr, err := transport.ParseLocalAddr(good); err != nil || addr.String() != good {
			t.Errorf("%q: got %q, %v", good, addr, err)
		}
	}
	for bad, why := range map[string]string{
		"":                                  "missing port",
		"22":                                "missing port",
		"localhost:0":                       "not a port",
		"localhost:http":                    "not a port",
		"unix:":                             "the path of a socket",
		"unix:@":                            "the path of a socket",
		"unix:/run/a\x00b":                  "no zero",
		"unix:/" + strings.Repeat("a", 200): "bytes at most, and this one has 201",
	} {
		if _, err := transport.ParseLocalAddr(bad); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: got %v, want %q in it", bad, err, why)
		}
	}
	if _, err := transport.ParseLocalAddr("unix:@web"); (err == nil) != (runtime.GOOS == "linux") {
		t.Errorf("an abstract socket on %s: %v", runtime.GOOS, err)
	}
}

func TestHTTPHost(t *testing.T) {
	for text, want := range map[string]string{"localhost:80": "localhost:80", "unix:/run/web.sock": "localhost"} {
		if got := localAddr(t, text).HTTPHost(); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func localAddr(t *testing.T, text string) transport.LocalAddr {
	t.Helper()
	addr, err := transport.ParseLocalAddr(text)
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// listenUnix listens in a folder of its own, whose path is short enough on every system.
func listenUnix(t *testing.T) (l *net.UnixListener, path string) {
	t.Helper()
	path = filepath.Join(shortDir(t), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, path
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "relay")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// A connection to a Unix socket is a net.Conn like any other.
func TestUnixNetConn(t *testing.T) {
	l, path := listenUnix(t)
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		c1, err = transport.DialLocal(background, "unix:"+path)
		if err != nil {
			return nil, nil, nil, err
		}
		if c2, err = l.Accept(); err != nil {
			return nil, nil, nil, err
		}
		return c1, c2, func() { _ = c1.Close(); _ = c2.Close() }, nil
	})
}

// Each way to end a connection leaves to the server what was written before, and then an
// end: a Unix socket has no reset.
func TestUnixEnds(t *testing.T) {
	for name, end := range map[string]func(conn.Conn) error{"CloseWrite": conn.Conn.CloseWrite, "Close": conn.Conn.Close, "Reset": conn.Conn.Reset} {
		t.Run(name, func(t *testing.T) {
			l, path := listenUnix(t)
			c, err := transport.DialLocal(background, "unix:"+path)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			server, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			_ = server.SetDeadline(time.Now().Add(patience))
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if err := end(c); err != nil {
				t.Fatal(err)
			}
			var b [2]byte
			if n, err := server.Read(b[:]); n != 1 || err != nil {
				t.Errorf("read %d bytes and %v, want 1", n, err)
			}
			if n, err := server.Read(b[:]); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read %d bytes and %v, want an end", n, err)
			}
			if c.RemoteAddr().Network() != "unix" || c.RemoteAddr().String() != path {
				t.Errorf("it is connected to %s %s, want unix %s", c.RemoteAddr().Network(), c.RemoteAddr(), path)
			}
		})
	}
}

// The error of a server that is not there comes with what to do.
func TestAdviceForUnix(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has other errors for it")
	}
	dir := shortDir(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	datagrams := filepath.Join(dir, "dgram")
	other, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: datagrams, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	left, path := listenUnix(t)
	left.SetUnlinkOnClose(false)
	_ = left.Close()
	for path, want := range map[string]string{
		filepath.Join(dir, "missing"): "the path of its socket",
		file:                          "it is not a socket",
		path:                          "nobody listens there",
		datagrams:                     "datagrams",
	} {
		addr := localAddr(t, "unix:"+path)
		c, err := addr.Dial(background)
		if err == nil {
			_ = c.Close()
			t.Fatalf("%s: it is connected", path)
		}
		if got := addr.Advice(err); !strings.Contains(got, want) {
			t.Errorf("%s: %v; %q, want %q in it", path, err, got, want)
		}
	}
	if got := localAddr(t, "unix:/run/web.sock").Advice(os.ErrPermission); !strings.Contains(got, "this process runs as the user") {
		t.Errorf("not permitted: %q", got)
	}
}

func TestUnixDialIsCancelled(t *testing.T) {
	_, path := listenUnix(t)
	ctx, cancel := context.WithCancel(background)
	cancel()
	if c, err := transport.DialLocal(ctx, "unix:"+path); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", c, err)
	}
}
