package server_test

import (
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/server"
)

// way is where connections have been: the packages of this module from the accept loop to
// each call of a method of theirs, the outermost first.
type way struct {
	mu    sync.Mutex
	seen  [][]string
	order []string // packages that have to be on it, the uppermost first
}

// note notes the packages that have called it, each once where it calls itself.
func (w *way) note() {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	var stack []string
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		_, within, ours := strings.Cut(f.Function, "/relay/internal/")
		name, method, _ := strings.Cut(within, ".")
		if ours && (len(stack) == 0 || stack[0] != name) {
			stack = slices.Insert(stack, 0, name)
		}
		if method == "(*Acceptor).Serve" {
			break // what is above has started the loop
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, stack)
}

// check fails if a call has climbed, or come to a package twice, or if the connection has
// not been in every package of the order.
func (w *way) check(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	been := make(map[string]bool)
	for _, stack := range w.seen {
		last := -1
		for _, name := range stack {
			been[name] = true
			at := slices.Index(w.order, name)
			if at <= last {
				t.Errorf("it went %v, want no other way than down %v", stack, w.order)
				break
			}
			last = at
		}
	}
	for _, name := range w.order {
		if !been[name] {
			t.Errorf("it has not been in %s", name)
		}
	}
}

// visitor is a connection that notes its way. It is no socket, so a join copies it.
type visitor struct {
	conn.Conn
	way *way
}

func (c visitor) RemoteAddr() net.Addr        { c.way.note(); return c.Conn.RemoteAddr() }
func (c visitor) Read(b []byte) (int, error)  { c.way.note(); return c.Conn.Read(b) }
func (c visitor) Write(b []byte) (int, error) { c.way.note(); return c.Conn.Write(b) }

// visitors is a listener of theirs.
type visitors struct {
	conn.Listener
	way *way
}

func (l visitors) Accept() (conn.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return visitor{c, l.way}, nil
}

// A user's connection goes the way of docs/architecture.md from accept to copying: it enters
// no package twice, and no call climbs.
func TestWayOfAUser(t *testing.T) {
	w := &way{order: []string{"entry", "endpoint", "join"}}
	r := start(t, func(c *server.Config) {
		listen := c.Listen
		c.Listen = func(port int) (conn.Listener, error) {
			l, err := listen(port)
			return visitors{l, w}, err
		}
	})
	tunnel, _ := r.register()
	user, client := r.join(tunnel)
	conntest.Write(t, user, "hello")
	conntest.WantRead(t, client, "hello")
	w.check(t)
}
