package sshd

import (
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
)

// terminal is a session: where a person reads what the relay says.
type terminal struct {
	connection *connection
	ssh        ssh.Channel
	lines      chan string

	// Guarded by connection.mu.
	pty, started bool
}

// maxLines is how many lines wait for a client that does not read. Further ones are dropped.
const maxLines = 64

// startTerminal accepts a session, or reports false if there are too many.
func (c *connection) startTerminal(n ssh.NewChannel) bool {
	c.mu.Lock()
	full := len(c.terminals) >= maxTerminals
	c.mu.Unlock()
	if full {
		return false
	}
	ch, requests, err := n.Accept()
	if err != nil {
		return true // the connection has ended
	}
	t := &terminal{connection: c, ssh: ch, lines: make(chan string, maxLines)}
	c.mu.Lock()
	c.terminals[t] = struct{}{}
	c.mu.Unlock()
	c.running.Go(func() { t.answer(requests) })
	c.running.Go(t.read)
	c.running.Go(t.write)
	return true
}

// answer answers the requests of a session. A shell that is refused ends several clients.
func (t *terminal) answer(requests <-chan *ssh.Request) {
	c := t.connection
	for r := range requests {
		switch r.Type {
		case "pty-req":
			c.mu.Lock()
			t.pty = true
			c.mu.Unlock()
			reply(r, true, nil)
		case "shell", "exec":
			reply(r, true, nil)
			c.mu.Lock()
			t.started = true
			for _, f := range c.forwards {
				t.say(c.address(f.port))
			}
			c.mu.Unlock()
		default:
			reply(r, false, nil)
		}
	}
	c.mu.Lock()
	delete(c.terminals, t)
	close(t.lines)
	c.mu.Unlock()
}

// announce tells of a forward.
func (c *connection) announce(f *forward) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for t := range c.terminals {
		if t.started {
			t.say(c.address(f.port))
		}
	}
}

// say writes a line, soon. The caller holds connection.mu.
func (t *terminal) say(line string) {
	if t.pty {
		line += "\r\n"
	} else {
		line += "\n"
	}
	select {
	case t.lines <- line:
	default:
	}
}

func (t *terminal) write() {
	for line := range t.lines {
		if _, err := t.ssh.Write([]byte(line)); err != nil {
			for range t.lines { // until answer closes it
			}
			return
		}
	}
}

// read reads what is typed: with a terminal, Ctrl-C and Ctrl-D are bytes. The end of the input
// ends nothing.
func (t *terminal) read() {
	buf := make([]byte, 64)
	for {
		n, err := t.ssh.Read(buf)
		if strings.ContainsAny(string(buf[:n]), "\x03\x04") {
			t.finish()
			return
		}
		if err != nil {
			return
		}
	}
}

// finish ends the session, and the connection, for good.
func (t *terminal) finish() {
	_, _ = t.ssh.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{0}))
	_ = t.ssh.CloseWrite()
	_ = t.ssh.Close()
	t.connection.end()
}

// joinHostPort joins a host that may be a word such as <this machine>.
func joinHostPort(host, port string) string {
	if strings.Contains(host, ":") {
		return net.JoinHostPort(host, port)
	}
	return host + ":" + port
}
