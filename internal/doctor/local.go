package doctor

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net"
	"time"

	"github.com/seed96252745/relay/internal/transport"
)

// surprise returns how long the local server may take to say something of its own accord, or
// to object to a header: 2 s by default.
func (f *Forwarder) surprise() time.Duration { return f.Wait * 2 / 5 }

// localServer connects to the local server, and hears what it says. It sends nothing, or
// with --proxyProtocol the header that says that there is no user, as load balancers send it
// to see whether a server is up.
func (f *Forwarder) localServer(ctx context.Context) Finding {
	if f.Local == "" {
		return skipped("none is named: add --localForwardPort to have it looked at")
	}
	dialing, cancel := context.WithTimeout(ctx, f.Wait)
	defer cancel()
	begin := time.Now()
	local, err := transport.ParseLocalAddr(f.Local)
	if err != nil {
		return problem("correct --localForwardPort", "%s: %v", f.Local, err)
	}
	conn, err := local.Dial(dialing)
	if err != nil {
		return problem(adviceForLocal(local, err), "%s: %s", f.Local, whyNot(err))
	}
	defer func() { _ = conn.Close() }()
	found := fmt.Sprintf("%s accepts in %s", f.Local, Millis(time.Since(begin)))
	said, err := f.listenTo(conn)
	name := serverOf(said)
	switch {
	case f.ProxyProtocol == 0 && said != "":
		return ok("%s, and speaks first%s: it wants no PROXY header", found, asWhat(name, said))
	case f.ProxyProtocol == 0 && isTimeout(err):
		return ok("%s, and waits for the user to speak; whether it wants a PROXY header (--proxyProtocol) cannot be told without sending one", found)
	case f.ProxyProtocol == 0:
		return warning("see its log: it may serve certain addresses alone, have no room, or want a PROXY header (--proxyProtocol)",
			"%s, and %s at once", found, closes(err))
	case isTimeout(err) && name != "a web server":
		return ok("%s, and does not object to a PROXY header of version %d%s", found, f.ProxyProtocol, asWhat(name, said))
	}
	return warning("have the server read the header (nginx: listen ... proxy_protocol), or leave --proxyProtocol out",
		"%s, and objects to a PROXY header of version %d: it %s%s", found, f.ProxyProtocol, closes(err), asWhat(name, said))
}

// listenTo returns what the local server says within a moment, and the error after
// that: a time-out if it has not closed.
func (f *Forwarder) listenTo(conn net.Conn) (said string, err error) {
	if err := conn.SetDeadline(time.Now().Add(f.surprise())); err != nil {
		return "", err
	}
	if header := f.header(); header != nil {
		if _, err := conn.Write(header); err != nil {
			return "", err
		}
	}
	var got bytes.Buffer
	b := make([]byte, maxAnswer)
	for got.Len() < maxAnswer {
		n, err := conn.Read(b[:maxAnswer-got.Len()])
		got.Write(b[:n])
		if err != nil {
			return got.String(), err
		}
		if f.ProxyProtocol == 0 {
			return got.String(), nil
		}
	}
	return got.String(), nil
}

// header returns the header of a connection without a user: LOCAL of version 2 and UNKNOWN
// of version 1 (proxy-protocol.txt, sections 2.1 and 2.2).
func (f *Forwarder) header() []byte {
	switch f.ProxyProtocol {
	case 1:
		return []byte("PROXY UNKNOWN\r\n")
	case 2:
		return []byte("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00")
	}
	return nil
}

// asWhat returns what is known of a server that has said something.
func asWhat(name, said string) string {
	switch {
	case said == "":
		return ""
	case name == "":
		return " (" + quote(said) + ")"
	}
	return fmt.Sprintf(" (%s: %s)", name, quote(said))
}

func adviceForLocal(local transport.LocalAddr, err error) string {
	switch {
	case local.IsUnix() && isTimeout(err):
		return "the server is there, and accepts nobody: restart it, or see its log"
	case local.IsUnix():
		return cmp.Or(local.Advice(err), "start the server, or check --localForwardPort")
	case isTimeout(err):
		return "a firewall drops it, or that machine is down; check --localForwardHost"
	}
	return "start the server, or check --localForwardPort and --localForwardHost: one that listens on one address of this machine alone is found only there"
}
