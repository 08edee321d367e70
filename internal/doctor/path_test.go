package doctor_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/doctor"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/transport"
)

// path is a public port that leads through something that is wrong to the doctor's own end.
type path struct {
	*transport.Listener
	public net.Addr
}

func (p path) Accept() (net.Conn, error) { return p.Listener.Accept() }
func (p path) Addr() net.Addr            { return p.public }

// through has the doctor look at a relay whose public port is carried by carry, which gets
// the user's connection, and one to the doctor's end.
func through(t *testing.T, carry func(user, served *net.TCPConn), change func(*doctor.Forwarder)) results {
	t.Helper()
	addr, _ := startRelay(t, node.Config{}, 4)
	timeouts := map[string]time.Duration{"multiplex": protocolTimeout}
	return look(t, addr, looks{protocols: []string{"multiplex"}, timeouts: timeouts, change: func(f *doctor.Forwarder) {
		f.Listen = func(context.Context, doctor.Ask) (net.Listener, error) {
			l, err := transport.ListenUsers(loopback + ":0")
			if err != nil {
				return nil, err
			}
			public := serve(t, func(c net.Conn) {
				served, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					return // the doctor is done
				}
				defer served.Close()
				carry(c.(*net.TCPConn), served.(*net.TCPConn))
			})
			return path{l, named(public)}, nil
		}
		if change != nil {
			change(f)
		}
	}})
}

type named string

func (named) Network() string  { return "tcp" }
func (n named) String() string { return string(n) }

// both carries bytes each way until both have ended.
func both(user, served *net.TCPConn, up, down func(to, from *net.TCPConn)) {
	var all sync.WaitGroup
	all.Go(func() { up(served, user) })
	all.Go(func() { down(user, served) })
	all.Wait()
}

// whole carries one direction, and its end or reset.
func whole(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		_ = to.SetLinger(0)
		_ = to.Close()
		_ = from.SetLinger(0)
		_ = from.Close()
		return
	}
	_ = to.CloseWrite()
}

// protocolTimeout is shorter than a user would have it, for TestSlow.
const protocolTimeout = 10 * time.Second

// A slow path is told from one that is broken.
func TestSlow(t *testing.T) {
	t.Parallel()
	slow := func(to, from *net.TCPConn) {
		const quick, each = 200_000, 100
		if _, err := io.CopyN(to, from, quick); err == nil {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for err == nil {
				<-tick.C
				_, err = io.CopyN(to, from, each)
			}
		}
		_ = to.CloseWrite()
	}
	r := through(t, func(user, served *net.TCPConn) { both(user, served, slow, whole) }, nil)
	r.want(t, "large packets", doctor.OK)
	r.want(t, "multiplex", doctor.Warning, "all bytes are right so far, and they are slow", "of 2 MiB in", "kB/s", "bytesPerSecond")
	r.skipped(t, "protocol")
}

func TestWholePath(t *testing.T) {
	r := through(t, func(user, served *net.TCPConn) { both(user, served, whole, whole) }, nil)
	r.want(t, "large packets", doctor.OK)
	r.want(t, "multiplex", doctor.OK)
}

// A path that carries a few bytes of each connection and no more is one with a black hole.
func TestLargeVanish(t *testing.T) {
	for _, way := range []string{"to the relay", "from the relay"} {
		t.Run(way, func(t *testing.T) {
			few := func(to, from *net.TCPConn) {
				const small = 100
				if _, err := io.CopyN(to, from, small); err != nil {
					_ = to.CloseWrite()
					return // less than that was sent
				}
				_, _ = io.Copy(io.Discard, from)
				<-t.Context().Done() // without a word
			}
			up, down := few, whole
			if way == "from the relay" {
				up, down = whole, few
			}
			r := through(t, func(user, served *net.TCPConn) { both(user, served, up, down) },
				func(f *doctor.Forwarder) { f.Patience = 2 * time.Second })
			r.want(t, "public port", doctor.OK)
			r.want(t, "large packets", doctor.Problem, "vanish, while small ones pass", way, "path MTU black hole")
			r.skipped(t, "multiplex", "protocol")
		})
	}
}

// What comes out is compared with what went in.
func TestChanged(t *testing.T) {
	for _, tt := range []struct {
		what string
		path func(user, served *net.TCPConn)
		want string
	}{
		{"a byte", func(user, served *net.TCPConn) { both(user, served, whole, spoiling) }, "they are others than were sent"},
		{"an early end", func(user, served *net.TCPConn) { both(user, served, whole, cutting) }, "and then an end"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			r := through(t, tt.path, nil)
			r.want(t, "large packets", doctor.Problem, tt.want, "changes or cuts bytes")
			r.want(t, "multiplex", doctor.Problem, tt.want)
			r.skipped(t, "protocol")
		})
	}
	t.Run("a reset that becomes an end", func(t *testing.T) {
		r := through(t, func(user, served *net.TCPConn) { both(user, served, whole, ending) }, nil)
		r.want(t, "large packets", doctor.OK)
		r.want(t, "multiplex", doctor.Problem, "a reset by the server comes to the user as an end")
	})
}

// spoiling carries a direction, of which it changes one byte beyond the first thousand.
func spoiling(to, from *net.TCPConn) {
	const good = 1000
	if _, err := io.CopyN(to, from, good); err != nil {
		_ = to.CloseWrite()
		return
	}
	var b [1]byte
	if _, err := io.ReadFull(from, b[:]); err == nil {
		b[0] ^= 1
		_, _ = to.Write(b[:])
	}
	whole(to, from)
}

// cutting ends a direction in order, and too soon.
func cutting(to, from *net.TCPConn) {
	const some = 5000
	_, _ = io.CopyN(to, from, some)
	_ = to.CloseWrite()
	_, _ = io.Copy(io.Discard, from)
}

// ending makes an end of a reset.
func ending(to, from *net.TCPConn) {
	_, _ = io.Copy(to, from)
	_ = to.CloseWrite()
}

// A public port behind which somebody else is.
func TestOtherPublicPort(t *testing.T) {
	r := through(t, func(user, _ *net.TCPConn) { _, _ = io.WriteString(user, "HTTP/1.1 502\r\n") }, nil)
	r.want(t, "public port", doctor.Problem, "another server answers at the public port")
	r.skipped(t, "large packets", "multiplex", "protocol")
}

// A public port that a firewall rejects.
func TestClosedPublicPort(t *testing.T) {
	addr, _ := startRelay(t, node.Config{}, 4)
	r := look(t, addr, looks{protocols: []string{"event"}, change: func(f *doctor.Forwarder) {
		listen := f.Listen
		f.Listen = func(ctx context.Context, ask doctor.Ask) (net.Listener, error) {
			l, err := listen(ctx, ask)
			if err != nil {
				return nil, err
			}
			return elsewhere{l, named(net.JoinHostPort(loopback, conntest.FreePort(t)))}, nil
		}
	}})
	r.want(t, "port", doctor.OK)
	r.want(t, "public port", doctor.Problem, "connection refused", "the control port can be reached and the public one not")
	r.skipped(t, "event")
}

type elsewhere struct {
	net.Listener
	addr net.Addr
}

func (e elsewhere) Addr() net.Addr { return e.addr }

func TestIdle(t *testing.T) {
	short := func(f *doctor.Forwarder) { f.Idle = 50 * time.Millisecond }
	r := through(t, func(user, served *net.TCPConn) { both(user, served, whole, whole) }, short)
	r.want(t, "idle", doctor.OK, "lives for 50ms")

	// A NAT that forgets says so with a reset, if at all: this one does when a visit of the
	// kind that idles goes on after its beginning.
	var visits sync.Map
	forgets := func(to, from *net.TCPConn) {
		const hello = 17 // bytes of a visit's beginning
		b := make([]byte, hello)
		if _, err := io.ReadFull(from, b); err != nil {
			return
		}
		if _, err := to.Write(b); err != nil {
			return
		}
		if _, idle := visits.Load("idle"); idle {
			_, _ = from.Read(b[:1])
			_ = from.SetLinger(0)
			_ = from.Close()
			return
		}
		whole(to, from)
	}
	r = through(t, func(user, served *net.TCPConn) { both(user, served, forgets, whole) }, func(f *doctor.Forwarder) {
		short(f)
		listen := f.Listen
		opened := 0
		f.Listen = func(ctx context.Context, ask doctor.Ask) (net.Listener, error) {
			if opened++; opened > 1 { // the tunnel of the check itself
				visits.Store("idle", true)
			}
			return listen(ctx, ask)
		}
	})
	r.want(t, "multiplex", doctor.OK)
	r.want(t, "idle", doctor.Problem, "dead after 50ms", "forgets idle connections")
}

// names is a resolver.
type names map[string][]netip.Addr // by network

func (n names) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	if addrs, ok := n[network]; ok {
		return addrs, nil
	}
	if _, broken := n["broken"]; broken {
		return nil, &net.DNSError{Err: "i/o timeout", Name: host, IsTimeout: true}
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func TestNames(t *testing.T) {
	addr, _ := startRelay(t, node.Config{}, 4)
	lookAs := func(n names) results {
		return look(t, addr, looks{protocols: []string{"event"}, change: func(f *doctor.Forwarder) {
			f.Host, f.Resolver = "relay.example.com", n
		}})
	}
	here := netip.MustParseAddr(loopback)
	r := lookAs(names{})
	r.want(t, "name", doctor.Problem, "A: none", "AAAA: none", "nslookup relay.example.com")
	r.skipped(t, "connect", "relay", "encryption", "token", "port", "event")

	r = lookAs(names{"broken": nil})
	r.want(t, "name", doctor.Problem, "no answer from the resolver", "/etc/resolv.conf")

	r = lookAs(names{"ip4": {here}})
	r.want(t, "name", doctor.OK, "A: 127.0.0.1", "AAAA: none")
	r.want(t, "event", doctor.OK)

	// One of several addresses is dead: the others are used.
	dead := netip.MustParseAddr("127.0.0.77") // where the relay does not listen
	r = lookAs(names{"ip4": {dead, here}})
	r.want(t, "connect", doctor.Warning, "127.0.0.77:", "connection refused", "127.0.0.1:", "take it out of the DNS")
	r.want(t, "event", doctor.OK)
}

func TestLocalServers(t *testing.T) {
	t.Parallel()
	relayAddr, _ := startRelay(t, node.Config{}, 16)
	free := net.JoinHostPort(loopback, conntest.FreePort(t))
	silent := serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	objects := serve(t, func(c net.Conn) {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		}
	})
	for _, tt := range []struct {
		what, local string
		proxy       int
		status      doctor.Status
		parts       []string
	}{
		{"none", free, 0, doctor.Problem, []string{"connection refused", "--localForwardPort"}},
		{"silent", silent, 0, doctor.OK, []string{"waits for the user to speak", "cannot be told"}},
		{"speaks", serve(t, says("SSH-2.0-x\r\n")), 0, doctor.OK, []string{"an SSH server", "wants no PROXY header"}},
		{"closes", serve(t, func(net.Conn) {}), 0, doctor.Warning, []string{"closes connections at once"}},
		{"takes v1", silent, 1, doctor.OK, []string{"does not object to a PROXY header of version 1"}},
		{"takes v2", silent, 2, doctor.OK, []string{"does not object to a PROXY header of version 2"}},
		{"objects to v1", objects, 1, doctor.Warning, []string{"objects to a PROXY header of version 1", "a web server", "400 Bad Request"}},
		{"objects to v2", objects, 2, doctor.Warning, []string{"objects to a PROXY header of version 2", "leave --proxyProtocol out"}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			r := look(t, relayAddr, looks{protocols: []string{"multiplex"}, change: func(f *doctor.Forwarder) {
				f.Local, f.ProxyProtocol = tt.local, tt.proxy
				if tt.local == silent { // this is waited for
					f.Wait = 5 * time.Second
				}
			}})
			r.want(t, "local server", tt.status, tt.parts...)
			r.arePrintable(t)
		})
	}
}

// What is left when the operator presses Ctrl-C is skipped.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	waits := doctor.Check{Name: "waits", Timeout: time.Hour, Run: func(ctx context.Context) doctor.Finding {
		cancel()
		<-ctx.Done()
		return doctor.Finding{Status: doctor.Problem, Found: "it was interrupted"}
	}}
	never := doctor.Check{Name: "never", Timeout: time.Hour, Run: func(context.Context) doctor.Finding {
		t.Error("a check has begun after that")
		return doctor.Finding{}
	}}
	got := doctor.Run(ctx, []doctor.Check{waits, never}, func(doctor.Result) {})
	if len(got) != 2 || doctor.Count(got, doctor.Skipped) != 2 || !strings.Contains(got[1].Found, "interrupted") {
		t.Errorf("got %+v", got)
	}
	if !errors.Is(ctx.Err(), context.Canceled) {
		t.Error("it was not interrupted")
	}
}
