// Package sshd is the relay's front for SSH clients: ssh -R puts a server online with nothing
// installed. An SSH connection is a relay client, each forward that it asks for is a tunnel
// ([protocol.Session]), and a user's connection is a forwarded-tcpip channel (RFC 4254,
// section 7).
//
//   - front.go takes a connection, and login.go finds out whose it is.
//   - connection.go answers what the client asks for, forward.go registers it, and channel.go
//     is a user's connection.
//   - terminal.go shows the person at the other end where the server is reached.
//   - wish.go reads what the user name asks for.
//
// What it does beyond the specifications, it does because real clients were seen to need it:
// docs/ssh.md lists them.
package sshd

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/front"
	"github.com/seed96252745/relay/internal/observe"
)

// Protocol is what tunnels of SSH clients are called where those of others have their verb.
const Protocol = "ssh"

// version is the identification string (RFC 4253, section 4.2).
const version = "SSH-2.0-Relay"

// Identities say who may use the relay.
type Identities interface {
	// Open reports whether everybody may.
	Open() bool
	// IdentifyKey returns the identity of a public key or certificate. That its owner has the
	// private key is for the front to find out.
	IdentifyKey(key ssh.PublicKey) (auth.Identity, error)
}

// Config is what a Front stands on. All fields but Logger are needed.
type Config struct {
	// HostKeys are what the front is known by, one of each kind.
	HostKeys []ssh.Signer
	// Host returns the name or address at which users reach the relay, or "" for the address
	// at which the client has.
	Host func() string
	// Logger gets what an operator wants to know. Nil discards it.
	Logger *slog.Logger
}

// loginTime is how long a client may take from its opening to its first forward: a person may
// have to type a passphrase, or to press Return in PuTTY. Its connection gives way to newer ones
// until then.
const loginTime = 2 * time.Minute

// Front serves SSH clients. Make it with New. Its methods may be called concurrently.
type Front struct {
	config     Config
	identities atomic.Pointer[Identities]
	holders    holders
	clients    *clients
	watch      *watch
	signing    signing
}

var (
	_ front.Front  = (*Front)(nil)
	_ observe.Sink = (*Front)(nil)
)

// New returns a front. SetIdentities and SetBudget have to follow before it serves.
func New(config Config) *Front {
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	return &Front{config: config, clients: newClients(), watch: newWatch(), signing: newSigning()}
}

// SetIdentities says who may use the relay from now on. Connections that have been identified
// go on.
func (f *Front) SetIdentities(i Identities) { f.identities.Store(&i) }

// SetBudget says what bounds the bytes that are held for users who do not read. It is called
// once.
func (f *Front) SetBudget(b Budget) { f.watch.budget = b }

// Speaks reports whether an SSH client begins so.
func (f *Front) Speaks(first byte) bool { return first == version[0] }

// Serve serves an SSH client until its connection has ended.
func (f *Front) Serve(c conn.Conn, a front.Arrival) {
	defer func() { _ = c.Close() }()
	l := &login{front: f, conn: c, arrival: a, identities: *f.identities.Load()}
	o, err := readOpening(c)
	if err != nil {
		a.Failed(err)
		return
	}
	_ = c.SetDeadline(time.Now().Add(loginTime)) // fails as the read does
	below := &watched{Conn: o.reopen(c)}
	config := l.config()
	config.Ciphers = o.offer()
	sshConn, channels, requests, err := ssh.NewServerConn(below, config)
	if err != nil {
		a.Failed(err)
		return
	}
	client := newConnection(f, a, below, sshConn, l.result(sshConn))
	f.clients.add(client)
	defer f.clients.remove(client)
	client.serve(channels, requests)
}

// Unwrap returns the connection inside.
func (w *watched) Unwrap() (inner conn.Conn, sameBytes bool) { return w.Conn, false }

// watched is a connection that knows whether reading it has failed: golang.org/x/crypto/ssh
// has the readers of all channels see io.EOF then, as if the client had ended them.
type watched struct {
	conn.Conn
	lost atomic.Bool
}

// Read reads, and notes an error before anybody can see it.
func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if err != nil {
		w.lost.Store(true)
	}
	return n, err
}

// holders are the connections that hold leases, by the leases.
type holders struct {
	mu sync.Mutex // guards what follows
	by map[string]*connection
}

// take has c hold a lease that is free, or another one's whose holder is replaced, and returns
// nil; or else it returns the holder.
func (h *holders) take(lease string, c, replaced *connection) (holder *connection) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if holder = h.by[lease]; holder != nil && holder != replaced {
		return holder
	}
	if h.by == nil {
		h.by = make(map[string]*connection)
	}
	h.by[lease] = c
	return nil
}

// release has c hold a lease no longer.
func (h *holders) release(lease string, c *connection) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.by[lease] == c {
		delete(h.by, lease)
	}
}
