package sshd

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/boombuler/barcode"
	"github.com/boombuler/barcode/qr"
	"golang.org/x/crypto/ssh"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/observe"
)

// page is what a terminal can show. The zero value is no terminal: a script reads it. Its
// methods may be called concurrently.
type page struct {
	mu            sync.Mutex // guards what follows
	pty           bool
	width, height uint32
	term, locale  string
}

// ptyRequest is the payload of pty-req (RFC 4254, section 6.2), and of window-change without
// the first field.
type ptyRequest struct {
	Term                string
	Width, Height       uint32
	PixWidth, PixHeight uint32
	Modes               string
}

// open makes it a terminal, and reports whether it could be understood.
func (p *page) open(payload []byte) bool {
	var r ptyRequest
	if err := ssh.Unmarshal(payload, &r); err != nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pty, p.width, p.height, p.term = true, r.Width, r.Height, r.Term
	return true
}

func (p *page) resize(payload []byte) {
	var r struct{ Width, Height, PixWidth, PixHeight uint32 }
	if err := ssh.Unmarshal(payload, &r); err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.width, p.height = r.Width, r.Height
}

// set sets a variable of the environment, of those that matter.
func (p *page) set(payload []byte) {
	var r struct{ Name, Value string }
	if err := ssh.Unmarshal(payload, &r); err != nil || r.Value == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Name == "LC_ALL" || r.Name == "LC_CTYPE" || r.Name == "LANG" && p.locale == "" {
		p.locale = r.Value
	}
}

// lineEnd returns how lines end: a terminal of a client is raw.
func (p *page) lineEnd() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pty {
		return "\r\n"
	}
	return "\n"
}

// isTerminal reports whether a person reads it.
func (p *page) isTerminal() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pty
}

// forward returns the lines about a forward: the address first, so that a script finds it, and
// on a terminal what a person wants to know.
func (p *page) forward(f about) string {
	line := f.address
	if f.name != "" {
		line += " " + printable(f.name)
	}
	if !p.isTerminal() {
		return line
	}
	url := "http://" + f.address
	lines := []string{"", "  " + line, "", "  A web server is at " + url + " now. Ctrl-C takes it offline.", ""}
	if code := p.code(url); code != nil {
		lines = append(append(lines, code...), "")
	}
	return strings.Join(lines, "\n")
}

// Around a QR code has to be a margin of its light color, and below it a line or two.
const (
	codeMargin = 2
	codeRoom   = 7
)

// code returns a QR code in half blocks, or nil if the terminal cannot show one.
func (p *page) code(text string) (lines []string) {
	p.mu.Lock()
	width, height := int(min(p.width, 1<<16)), int(min(p.height, 1<<16))
	dumb := p.term == "dumb" || p.term == "" || p.locale != "" && !strings.Contains(strings.ToLower(strings.ReplaceAll(p.locale, "-", "")), "utf8")
	p.mu.Unlock()
	code, err := qr.Encode(text, qr.L, qr.Auto)
	if dumb || err != nil {
		return nil
	}
	size := code.Bounds().Dx() + 2*codeMargin
	if size+2 > width || (size+1)/2+codeRoom > height {
		return nil
	}
	for y := 0; y < size; y += 2 {
		var b strings.Builder
		for x := range size {
			b.WriteString([...]string{"█", "▀", "▄", " "}[2*dark(code, x, y)+dark(code, x, y+1)])
		}
		// Light on dark, whatever the terminal's own colors are: bright white on black.
		lines = append(lines, "  \x1b[97;40m"+b.String()+"\x1b[0m")
	}
	return lines
}

// dark returns 1 for a dark module, whose margin is counted in, and 0 for a light one.
func dark(code barcode.Barcode, x, y int) int {
	x, y = x-codeMargin, y-codeMargin
	if b := code.Bounds(); x < 0 || y < 0 || x >= b.Dx() || y >= b.Dy() {
		return 0
	}
	if r, _, _, _ := code.At(x, y).RGBA(); r == 0 {
		return 1
	}
	return 0
}

// event returns the line about an event of a user, or "" if there is none to show.
func (p *page) event(e observe.Event, now time.Time) string {
	if !p.isTerminal() {
		return ""
	}
	at := now.Format(time.TimeOnly)
	var line string
	switch e.Name {
	case observe.UserJoined:
		line = fmt.Sprintf("%s  %s has come", at, e.User)
	case observe.UserDone:
		line = fmt.Sprintf("%s  %s has gone after %s: %s from the user, %s to the user, ended by %s (%s)",
			at, e.User, e.Duration.Round(time.Millisecond), bytesOf(e.Received), bytesOf(e.Sent), e.EndedBy, e.How)
	case observe.UserReset:
		line = fmt.Sprintf("%s  %s was refused: %s", at, e.User, e.Reason)
		if e.Limit != "" {
			line += " (" + e.Limit + ")"
		}
	}
	return printable(line)
}

// bytesOf returns a number of bytes for people.
func bytesOf(n int64) string {
	const kilo = 1000
	if n < kilo {
		return fmt.Sprintf("%d B", n)
	}
	f, units := float64(n)/kilo, "kMGTPE"
	for f >= kilo && len(units) > 1 {
		f, units = f/kilo, units[1:]
	}
	return fmt.Sprintf("%.1f %cB", f, units[0])
}

// printable returns text without what a terminal would act on.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

// about is what people are told of a forward.
type about struct {
	address, name string
	port          int
	users         int64
	since         time.Time
}

func (f *forward) about() about {
	return about{address: f.connection.address(f.port), name: f.name, port: f.port, users: f.users.Load(), since: f.since}
}

// sortedForwards returns the forwards by their public ports. The caller holds c.mu.
func (c *connection) sortedForwards() (all []*forward) {
	for _, f := range c.forwards {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b *forward) int { return a.port - b.port })
	return all
}

// status returns what is online of the client's owner: of this connection, and of others with
// the same key, or the same token.
func (c *connection) status() string {
	var lines []string
	for _, other := range c.front.clients.of(c.who) {
		other.mu.Lock()
		for _, f := range other.sortedForwards() {
			a := f.about()
			line := fmt.Sprintf("%s  users %d  since %s  from %s", a.address, a.users, a.since.Format(time.DateTime), other.below.RemoteAddr())
			if a.name != "" {
				line += "  name " + printable(a.name)
			}
			lines = append(lines, line)
		}
		other.mu.Unlock()
	}
	if len(lines) == 0 {
		return "nothing is online with this key or token"
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// usage has the command lines that people are shown, for a connection like this one.
type usage struct{ ssh, host string }

func (c *connection) usage() usage {
	u := usage{ssh: "ssh", host: c.host()}
	if port := conn.AddrPort(c.below.LocalAddr()).Port(); port != 22 {
		u.ssh += fmt.Sprintf(" -p %d", port)
	}
	return u
}

// line returns a command line.
func (u usage) line(options, user string) string {
	if user != "" {
		user += "@"
	}
	return strings.Join(strings.Fields(u.ssh+" "+options+" "+user+u.host), " ")
}

// help returns all of them.
func (u usage) help() string {
	const forward = "-R 0:localhost:8080"
	return "put the server at port 8080 of your machine online:\n    " + u.line(forward, "") +
		"\ngive it a name, here web:\n    " + u.line("-R web:80:localhost:8080", "") + "\n    " + u.line(forward, "name+web") +
		"\nlet 5 users in at a time, 2 new ones a second from one address, and 1000000 bytes a second:\n    " +
		u.line(forward, "users+5+users-per-second+2+bytes-per-second+1000000") +
		"\nwithout a session, for scripts:\n    " + u.line("-N -o ExitOnForwardFailure=yes "+forward, "") +
		"\nsee what is online with your key:\n    " + u.line("", "") + " status" +
		"\nThe same key gets the same address again."
}

// joinHostPort joins a host that may be a word, or an address of IPv6.
func joinHostPort(host, port string) string {
	if strings.Contains(host, ":") {
		return net.JoinHostPort(host, port)
	}
	return host + ":" + port
}
