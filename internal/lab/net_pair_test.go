//go:build lab && linux

package lab_test

import (
	"context"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/netlab"
)

// pairs is a rig with a forwarder for each of some protocols, in one network: what
// fails there fails for all of them at the same time. Its local server leaves its
// connections to the test, which does with both sides of a user what it likes.
type pairs struct {
	*rig
	protocols  []string
	forwarders map[string]*netlab.Process // by protocol
	publics    map[string]string          // where its users go
	served     chan *net.TCPConn          // the local server's sides
}

func newPairs(t *testing.T, protocols ...string) *pairs {
	t.Helper()
	p := &pairs{
		protocols: protocols, forwarders: make(map[string]*netlab.Process), publics: make(map[string]string),
		served: make(chan *net.TCPConn, 1000),
	}
	p.rig = newRig(t, protocols[0], setup{verbose: true, local: func(r *rig) {
		r.listen(localPort, func(conn *net.TCPConn) { p.serve(r.t.Context(), conn) })
	}})
	p.forwarders[p.protocol], p.publics[p.protocol] = p.forwarder, p.public
	for _, protocol := range protocols[1:] {
		p.forwarders[protocol] = p.startForwarderTo(localPort, protocol)
		p.publics[protocol] = p.registered(p.forwarders[protocol], 0, startPatience)
	}
	return p
}

// serve hands a connection over whose user has come, which the first byte says. It
// is closed when the test ends.
func (p *pairs) serve(ctx context.Context, conn *net.TCPConn) {
	context.AfterFunc(ctx, func() { conn.Close() })
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		conn.Close()
		return
	}
	p.served <- conn
}

// pair is a user and the local server's end of the same connection.
type pair struct{ user, server *net.TCPConn }

// connect makes one.
func (p *pairs) connect(protocol string) pair {
	p.t.Helper()
	user, err := p.dial(protocol)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { user.Close() })
	if _, err := user.Write([]byte{idle}); err != nil {
		p.t.Fatal(err)
	}
	select {
	case server := <-p.served:
		return pair{user, server}
	case <-time.After(startPatience):
		p.t.Fatalf("a user of %s does not arrive at the local server", protocol)
		return pair{}
	}
}

// dial has a user come.
func (p *pairs) dial(protocol string) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), startPatience)
	defer cancel()
	return p.User.Dial(ctx, p.publics[protocol])
}

// fill writes until nothing is taken for a second.
func fill(t *testing.T, conn *net.TCPConn) (n int64) {
	t.Helper()
	chunk := make([]byte, 256<<10)
	for {
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		m, err := conn.Write(chunk)
		n += int64(m)
		if os.IsTimeout(err) {
			_ = conn.SetWriteDeadline(time.Time{})
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
