package sshd

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// terminal is a session: where a person, or a script, reads what the relay says.
type terminal struct {
	connection *connection
	ssh        ssh.Channel
	page       page // what it can show

	mu      sync.Mutex // guards what follows
	lines   []string   // that are yet to be written
	dropped int        // further ones
	more    chan struct{}
	ended   bool
	started bool        // the shell was asked for
	hint    *time.Timer // that there is no forward
}

const (
	// maxLines is how many lines wait for a client that does not read. Further ones are
	// counted.
	maxLines = 64
	// hintAfter is how long a client may take from the shell to its forward until it is told
	// how to ask for one.
	hintAfter = 2 * time.Second
	// finishAfter is how long what was said last may take to arrive.
	finishAfter = 250 * time.Millisecond
)

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
	t := &terminal{connection: c, ssh: ch, more: make(chan struct{}, 1)}
	c.mu.Lock()
	c.terminals[t] = struct{}{}
	c.mu.Unlock()
	c.running.Go(func() { t.answer(requests) })
	c.running.Go(t.read)
	c.running.Go(t.refuseExtended)
	c.running.Go(t.write)
	return true
}

// answer answers the requests of a session. A shell that is refused ends several clients.
func (t *terminal) answer(requests <-chan *ssh.Request) {
	for r := range requests {
		switch r.Type {
		case "pty-req":
			reply(r, t.page.open(r.Payload), nil)
		case "window-change":
			t.page.resize(r.Payload)
			reply(r, true, nil)
		case "env":
			t.page.set(r.Payload)
			reply(r, true, nil)
		case "shell":
			reply(r, true, nil)
			t.start()
		case "exec":
			reply(r, true, nil)
			t.execute(r.Payload)
		default:
			reply(r, false, nil)
		}
	}
	c := t.connection
	c.mu.Lock()
	delete(c.terminals, t)
	c.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	if t.hint != nil {
		t.hint.Stop()
	}
	t.wake()
}

// start shows the forwards that there are, and has those that come be shown: some clients ask
// for the shell first.
func (t *terminal) start() {
	c := t.connection
	c.mu.Lock()
	defer c.mu.Unlock()
	t.mu.Lock()
	started := t.started
	t.started = true
	t.mu.Unlock()
	if started {
		return
	}
	for _, f := range c.sortedForwards() {
		t.say(t.page.forward(f.about()))
	}
	switch {
	case c.refusal != nil:
		t.say("refused: " + c.refusal.Error())
	case len(c.forwards) == 0:
		t.mu.Lock()
		t.hint = time.AfterFunc(hintAfter, t.sayHint)
		t.mu.Unlock()
	}
}

// sayHint says how to ask for a forward to a client that has not.
func (t *terminal) sayHint() {
	c := t.connection
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.forwards) > 0 || c.refusal != nil || c.ended {
		return
	}
	t.say("nothing is online yet: your client has asked for no forward")
	if bytes.HasPrefix(c.ssh.ClientVersion(), []byte("SSH-2.0-PuTTY")) {
		t.say("PuTTY asks for none with port 0: use any port but 0, as in  -R 1:localhost:8080")
		return
	}
	t.say("put the port of your server behind -R, as in  " + c.usage().line("-R 0:localhost:8080", ""))
}

// tell has a terminal that has started show something.
func (t *terminal) tell(text string) {
	t.mu.Lock()
	started := t.started
	t.mu.Unlock()
	if started {
		t.say(text)
	}
}

// say writes lines, soon.
func (t *terminal) say(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for line := range strings.SplitSeq(text, "\n") {
		if len(t.lines) >= maxLines {
			t.dropped++
			continue
		}
		t.lines = append(t.lines, line)
	}
	t.wake()
}

// wake has write look. The caller holds t.mu.
func (t *terminal) wake() {
	select {
	case t.more <- struct{}{}:
	default:
	}
}

// write writes what was said, until the session has ended.
func (t *terminal) write() {
	for range t.more {
		text, ended := t.take()
		if _, err := io.WriteString(t.ssh, text); err != nil || ended {
			return
		}
	}
}

// take returns what there is to write, and whether that is all.
func (t *terminal) take() (text string, ended bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	end := t.page.lineEnd()
	for _, line := range t.lines {
		b.WriteString(line + end)
	}
	if t.dropped > 0 {
		fmt.Fprintf(&b, "... %d lines more%s", t.dropped, end)
	}
	t.lines, t.dropped = nil, 0
	return b.String(), t.ended
}

// read reads what is typed: with a terminal, Ctrl-C and Ctrl-D are bytes. The end of the input
// ends nothing.
func (t *terminal) read() {
	buf := make([]byte, 64)
	for {
		n, err := t.ssh.Read(buf)
		if bytes.ContainsAny(buf[:n], "\x03\x04") {
			t.finish(0)
			return
		}
		if err != nil {
			return
		}
	}
}

// refuseExtended ends the session if the client sends extended data, of which the library would
// hold a window that nobody reads.
func (t *terminal) refuseExtended() {
	var b [1]byte
	if n, _ := t.ssh.Stderr().Read(b[:]); n > 0 {
		_ = t.ssh.Close() // fails if it has ended
	}
}

// finish ends the session for good with an exit status, and the connection a moment later:
// clients wait for their last user otherwise.
func (t *terminal) finish(status uint32) {
	t.connection.left.Store(true)
	_, _ = t.ssh.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
	_ = t.ssh.CloseWrite()
	_ = t.ssh.Close()
	t.connection.endAfter(finishAfter)
}

// execute answers a command, writes nothing else, and ends.
func (t *terminal) execute(payload []byte) {
	var command struct{ Text string }
	if err := ssh.Unmarshal(payload, &command); err != nil {
		t.finish(2)
		return
	}
	end := t.page.lineEnd()
	var text string
	status := uint32(0)
	switch strings.TrimSpace(command.Text) {
	case "status":
		text = t.connection.status()
	case "help":
		text = t.connection.usage().help()
	default:
		text, status = "this relay has two commands, status and help, and runs no others", 2
	}
	to := io.Writer(t.ssh)
	if status != 0 {
		to = t.ssh.Stderr()
	}
	_, _ = io.WriteString(to, strings.ReplaceAll(text, "\n", end)+end) // fails if the client has gone
	t.finish(status)
}
